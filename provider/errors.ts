/** An error that is told to the user as it stands: one sentence, then the tool's words, then what to do. */
export class HostnetError extends Error {
  override readonly name: string = "HostnetError";
}

/** The connection went away while a script may have been running: what it did is not known. */
export class UnknownOutcome extends HostnetError {
  override readonly name = "UnknownOutcome";
}

/** The network was in the way, and nothing ran: the same may be tried again, on a new session. */
export class NotSent extends HostnetError {
  override readonly name = "NotSent";
}

/** The host or we ourselves said no. Asking again changes nothing, and may lock the user out. */
export class Refused extends HostnetError {
  override readonly name = "Refused";
}

/** For what no undo brings back, and so nobody may try, whatever the program allows. */
export function refuseForGood(reason: string): never {
  throw new HostnetError(
    `it would cut the connection that it travels on: ${reason}, and the host could not take that back. Nothing was done`,
  );
}
