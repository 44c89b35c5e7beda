import { AFTER_ADDRESS, KEYWORDS } from "./nft-words";

/** A piece of nft's text. Rules stay opaque: this is enough to see where they end and whom they name. */
export interface Token {
  readonly kind: "word" | "quoted" | "operator" | "mark";
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Whether white space stands before it. */
  readonly spaced: boolean;
}

const TOKEN = /(#[^\n]*|\\\n|[ \t\r]+)|("[^"\n]*")|([{};,\n])|([=!<>&|^()]+)|([^\s{};,"#=!<>&|^()]+)/y;

/** Throws where a quote does not end on its line. Comments and continued lines are gone. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let spaced = false;
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) throw new Error('holds a " without its partner on the same line');
    const [whole, blank, quoted, mark, operator] = found;
    const kind = quoted ? "quoted" : mark ? "mark" : operator ? "operator" : "word";
    if (blank === undefined) tokens.push({ kind, text: whole, start: at, end: at + whole.length, spaced });
    spaced = blank !== undefined || mark === "\n";
    at += whole.length;
  }
  return tokens;
}

const isMark = (token: Token | undefined, text: string): boolean =>
  token?.kind === "mark" && token.text === text;
export const unquote = (text: string): string => (text.startsWith('"') ? text.slice(1, -1) : text);

/** Where the brace at `open` closes. */
export function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (isMark(tokens[i], "{")) depth++;
    if (isMark(tokens[i], "}") && --depth === 0) return i;
  }
  throw new Error("holds a { without its }");
}

/** Split at marks that stand outside of braces. */
export function split(tokens: readonly Token[], marks: string): Token[][] {
  const parts: Token[][] = [[]];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (isMark(token, "{")) {
      const end = closing(tokens, i);
      while (i < end) parts.at(-1)!.push(tokens[i++]!);
      parts.at(-1)!.push(tokens[i]!);
    } else if (isMark(token, "}")) throw new Error("holds a } without its {");
    else if (token.kind === "mark" && marks.includes(token.text)) parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts.filter((part) => part.length > 0);
}

/**
 * One spelling for each statement: single spaces, `{ a, b }`, and in a chain within a rule (`jump { … }`) a `;` after
 * each of its rules, the last one too, which nft 1.0.6 insists on.
 */
export function print(tokens: readonly Token[]): string {
  let out = "";
  let word = "";
  const braces: ("list" | "chain")[] = [];
  for (const token of tokens) {
    const inside = braces.at(-1);
    const ended = /[;{] ?$/.test(out) || out === "";
    if (isMark(token, "\n") || isMark(token, ";")) {
      if (inside === "chain" && !ended) out += ";";
    } else if (isMark(token, "{")) {
      braces.push(word === "jump" || word === "goto" ? "chain" : "list");
      out = `${out.trimEnd()}${out === "" ? "" : " "}{ `;
    } else if (isMark(token, "}")) {
      if (inside === "chain" && !ended) out += ";";
      braces.pop();
      out = `${out.trimEnd().replace(/,$/, "")} }`;
    } else if (isMark(token, ",")) {
      out = inside === undefined ? `${out}${token.spaced ? " " : ""},` : `${out.trimEnd()}, `;
    } else {
      const needed = token.spaced || /[;}]$/.test(out);
      out += `${needed && !/(^|\s)$/.test(out) ? " " : ""}${token.text}`;
    }
    word = token.text;
  }
  return out;
}

export const canonicalStatement = (text: string): string => print(tokenize(text));

const UNRESOLVED = /Calling \[?(toString|toJSON)\]? on an \[?Output/;

/** An Output that was put into a plain string: Pulumi leaves a sentence about it in the place of the value. */
export const unresolved = (text: string): string | undefined =>
  UNRESOLVED.test(text)
    ? "holds the text of an Output whose value is not known yet: write it with the nft tag or pulumi.interpolate"
    : undefined;

/** Why a text cannot be one statement, as a rule or an element is. */
export function statementProblem(text: string): string | undefined {
  if (unresolved(text)) return unresolved(text);
  if (/[\n\r]/.test(text)) return "holds a line break: each rule is a string of its own";
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text)) return "holds a control character";
  if (text.replace(/"[^"]*"/g, "").includes("#"))
    return "holds a # outside quotes: what follows would be a comment";
  try {
    const parts = split(tokenize(text), ";");
    if (parts.length > 1 || isMark(tokenize(text).at(-1), ";"))
      return "holds a ; outside quotes: it would be two";
    if (parts.length === 0) return "is empty";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why a rule is refused before anything is sent; nft on the host is the judge of the rest. */
export function ruleProblem(text: string): string | undefined {
  const problem = statementProblem(text);
  if (problem) return problem;
  const tokens = tokenize(text);
  const first = tokens[0]!.text;
  if (["handle", "position", "index"].includes(first))
    return `begins with ${first}: the order of rules is that of the program`;
  const host = hostName(tokens);
  if (host)
    return `${unquote(host)} is a host name, which the host would look up when the rules are loaded: write its address`;
}

const NAME = /^[A-Za-z][A-Za-z0-9/\\_.-]*$/;

export function nameProblem(name: string): string | undefined {
  if (unresolved(name)) return unresolved(name);
  if (!NAME.test(name)) return `"${name}" is no name: a letter, then letters, digits and / \\ _ . -`;
  if (name.length > 255) return `"${name.slice(0, 20)}…" is longer than 255`;
  if (KEYWORDS.has(name)) return `"${name}" is a word of nft's own language and cannot be a name`;
}

export function commentProblem(text: string): string | undefined {
  if (unresolved(text)) return unresolved(text);
  if (/["\u0000-\u001f]/.test(text)) return 'a comment takes no " and no line break';
  if (Buffer.byteLength(text) > 128) return `a comment takes 128 bytes, this has ${Buffer.byteLength(text)}`;
}

/** Names after jump, goto and @, and of the meters, which nft makes a set of. */
interface References {
  readonly chains: readonly string[];
  readonly sets: readonly string[];
  readonly meters: readonly string[];
  /** Sets that packets add to or take from. */
  readonly written: readonly string[];
}

export function references(text: string): References {
  const chains: string[] = [];
  const sets: string[] = [];
  const meters: string[] = [];
  const written: string[] = [];
  const tokens = tokenize(text);
  tokens.forEach(({ kind, text: word }, i) => {
    const next = tokens[i + 1];
    if (kind !== "word") return;
    if ((word === "jump" || word === "goto") && next?.kind === "word") chains.push(next.text);
    if (word === "meter" && next?.kind === "word") meters.push(next.text);
    // `@nh,64,16` is a piece of the packet, `@255,8,8` one of a TCP option.
    if (!/^@[A-Za-z]/.test(word) || ["@ll", "@nh", "@th", "@ih"].includes(word)) return;
    sets.push(word.slice(1));
    if (["add", "update", "delete", "set"].includes(tokens[i - 1]?.text ?? "")) written.push(word.slice(1));
  });
  return { chains, sets, meters, written };
}

/** Every name that a text could mean. Too many are harmless. */
export function mentions(text: string): ReadonlySet<string> {
  return new Set(tokenize(text).map(({ text: word }) => unquote(word).replace(/^@/, "")));
}

const HOST = /^(?!0x[0-9a-f]+$)(?=[\d.-]*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_-]*\.)*[A-Za-z0-9_-]*(:\d+)?$/;
/** In quotes it is looked up all the same, and no word of nft's is meant. */
const isHostName = (token: Token | undefined): boolean =>
  token?.kind === "quoted"
    ? HOST.test(unquote(token.text))
    : token?.kind === "word" && HOST.test(token.text) && !AFTER_ADDRESS.has(token.text);

/** A host name where an address must stand: after a source or destination field, or after dnat, snat or tproxy `to`. */
function hostName(tokens: readonly Token[]): string | undefined {
  for (let i = 0; i < tokens.length; i++) {
    const [before, here] = [tokens[i - 1]?.text, tokens[i]!.text];
    const field = (before === "ip" || before === "ip6") && (here === "saddr" || here === "daddr");
    const target = here === "to" && /\b(dnat|snat|tproxy)( ip6?)?( prefix)?$/.test(print(tokens.slice(0, i)));
    if (!field && !target) continue;
    let next = i + 1;
    while (tokens[next]?.kind === "operator" || ["eq", "ne", "set"].includes(tokens[next]?.text ?? ""))
      next++;
    const candidates = isMark(tokens[next], "{") && field ? elementsAt(tokens, next) : [tokens[next]];
    const found = candidates.find(isHostName);
    if (found) return found.text;
  }
}

/** The first word of each element in a set that is written out. */
function elementsAt(tokens: readonly Token[], open: number): (Token | undefined)[] {
  return split(tokens.slice(open + 1, closing(tokens, open)), ",").map((element) => element[0]);
}
