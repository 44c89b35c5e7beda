/** Of this package, as records and messages carry it. A test holds it against package.json. */
export const version = "0.1.0";
