import { bounce } from "../../provider/formats/bounce";
import type { Kind, Problem, Result, Step } from "../../provider/kind";
import { parseFields } from "../../provider/schema";

export const said = (stdout: string | object): Result => ({
  code: 0,
  stdout: typeof stdout === "string" ? stdout : JSON.stringify(stdout),
  stderr: "",
});
export const failed = (code: number, stderr: string): Result => ({ code, stdout: "", stderr });

const BOUNCE = bounce([], []).argv[2]!;
/** The script by its name. */
const told = (argv: readonly string[]): string => argv.join(" ").replace(`sh -c ${BOUNCE} sh`, "bounce");

/** One line a step, with what it reads below it, and what it waits for. */
export const text = (steps: readonly Step[]): string[] =>
  steps.flatMap(({ argv, stdin, unless, released }) => [
    `${told(argv)}${unless ? ` | unless ${unless.join(" ")}` : ""}${released ? ` | released ${released}` : ""}`,
    ...(stdin ?? "")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => `  ${line}`),
  ]);

// biome-ignore lint/suspicious/noExplicitAny: any kind
type AnyKind = Kind<any, any>;

/** What `check` says of arguments. */
export function problems(kind: AnyKind, raw: object): readonly Problem[] {
  const parsed = parseFields(kind.schema, raw as Record<string, unknown>);
  return [...parsed.problems, ...(parsed.desired ? (kind.refine?.(parsed.desired) ?? []) : [])];
}

/** Arguments made canonical; throws where check would refuse them. */
export function canonical<D>(kind: AnyKind, raw: object): D {
  const wrong = problems(kind, raw);
  if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
  return parseFields(kind.schema, raw as Record<string, unknown>).desired as D;
}
