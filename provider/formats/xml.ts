/** An element of a document without mixed content, as libvirt's are: comments and the space between elements are gone. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

const ESCAPED: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  '"': "&quot;",
  "'": "&apos;",
};
export const escapeXml = (text: string): string => text.replace(/[<>&"']/g, (c) => ESCAPED[c]!);

/** As libvirt writes it, attributes in single quotes; those without a value are left out. */
export function openTag(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
): string {
  const words = Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key}='${escapeXml(String(value))}'`],
  );
  return `<${name}${words.join("")}`;
}
