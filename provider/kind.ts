import type { z } from "zod";
import type { NftError } from "./formats/nft-error";

/** What the user declared, canonical: two equal wishes are deeply equal. */
export type Desired<S extends z.ZodRawShape> = z.output<z.ZodObject<S, z.core.$strict>>;

/** One process on the host. Data only: `host/shell` is the one place that quotes. */
export interface Step {
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** A probe. Where it succeeds the step has nothing to do and is skipped. */
  readonly unless?: readonly string[];
  /** Keys of `Kind.claims`: the step runs only when no other resource claims any of these settings any more. */
  readonly released?: readonly string[];
}

/** A step that only looks. Its exit code is an answer, not a failure. */
export interface Query {
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** Surroundings, which may change at any time: printed, but no part of the guard of a change. */
  readonly free?: boolean;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the host says. `state` holds the fields that the program or the last apply declared; absent when the object is. */
export interface Observed<S extends z.ZodRawShape, F> {
  readonly state?: Desired<S>;
  /** The scalar fields that nobody declared, as found: what a field goes back to when it leaves the program. */
  readonly rest?: Partial<Desired<S>>;
  /** What only the host knows: ifindex, listing, the members' addresses and routes. */
  readonly facts: F;
  /** What keeps it from working although its fields are as declared, a line each: drift too. */
  readonly broken?: readonly string[];
  /** What its user has to know of it, a sentence each: no drift, for no change of ours would mend it. */
  readonly warnings?: readonly string[];
  /** By key of `claims`: what was found before the first claim. Filled in by the lifecycle, from the host's notes. */
  readonly shared?: Readonly<Record<string, unknown>>;
}

/** What the last apply wanted and left. */
export interface Last<S extends z.ZodRawShape, F> {
  readonly desired: Desired<S>;
  /** As parsed right after the apply. Absent after a crash, when only the record tells of it. */
  readonly facts?: F;
  /** What was there before us; without a `state`, nothing was. */
  readonly former: Observed<S, F>;
}

/** What others on the host do to an object: looked at after a change and at a refresh, told as warnings, never a failure. */
export interface Neighbours {
  readonly query: Query;
  /** A sentence each, the same as long as nothing changes. */
  warnings(result: Result): readonly string[];
}

export interface Problem {
  readonly property: string;
  readonly reason: string;
}

/** A batch of nft that is judged, not run. */
export interface Trial {
  /** "inet fw" */
  readonly table: string;
  /** What a create sends where there is nothing yet. */
  readonly lines: readonly string[];
  /** The set that it is about, and how it is declared: other trials of the table may name it. */
  readonly makes?: { readonly name: string; readonly line: string };
  /** Sets of the table that it names, and other resources make. */
  readonly uses: readonly string[];
  /** An error at one of the lines, on the property of the program. */
  tell(error: NftError): Problem | undefined;
  /** For an error that is about none of them. */
  readonly property: string;
}

/** A host setting that several resources may want, all with the same value. */
export interface Claim {
  readonly value: string;
  /** What goes back when the last claim is released. Captured once, by the first. */
  readonly former: unknown;
}

/** How an object comes back after a boot of the host. */
export interface Boot<F> {
  /**
   * 0 to 99, low ones first. Among all that have no table: 10 settings, 20 VRFs, 25 VLANs, 30 bridges, 35 VLANs on
   * bridges, 40 rules, 50 tables bound to a link, 60 filters at ports, 70 DHCP. Within a table: 0 its sets, 1 itself.
   */
  readonly order: number;
  /** What the host is like then. What `ensure` makes of it is run; one that fails is undone and tried again. */
  readonly facts: F;
  /**
   * Its table of nftables, "inet fw": what the steps say goes with the texts of the table's other objects in one
   * transaction, before the network is up.
   */
  readonly table?: string;
  /**
   * A line of nft: what drops the object's traffic as long as it is not there. For a table, where its text cannot be loaded;
   * `$ssh` is the port of the way in. For anything else, from the beginning, until its last step takes it away.
   */
  readonly closed?: string;
  /** A line of nft before all of its table's, where it was adopted: what the host's own configuration has made of it is not ours. */
  readonly anew?: string;
  /** "ruleset": an emptied ruleset takes it along. "late": it needs libvirt. Both are put in place whenever its link appears. */
  readonly when?: "ruleset" | "late";
  /**
   * The link that it is, which the host's own configuration may have made by then: of what was adopted is made what is
   * declared, and anything else is another's.
   */
  readonly link?: string;
  /** What of it goes with a link, and is put back whenever a link appears. */
  readonly again?: readonly Step[];
  /** Instead of what `ensure` says. */
  readonly steps?: readonly Step[];
  /** What prints the text on the host, after a change of what is too long to be sent whole with it. */
  readonly listing?: readonly string[];
}

/** What a change could cut: where the way to the host meets it, the change must be confirmed from outside. */
export interface Exposure {
  /** Links that it takes away, moves, readdresses, or takes down. */
  readonly links?: readonly string[];
  /** Hooks of nftables at which it decides over packets. */
  readonly hooks?: readonly string[];
  /** It decides over where any packet goes. */
  readonly routing?: boolean;
  /** Networks that it leads elsewhere from now on: "10.0.0.0/8", or an address of its own as "10.0.0.1/24". */
  readonly prefixes?: readonly string[];
}

/** The connection that a change travels on, as the host sees it. */
export interface Way {
  readonly client: string;
  readonly clientPort: number;
  readonly server: string;
  readonly port: number;
  /** The router towards the client, if there is one. */
  readonly gateway?: string;
  /**
   * The link towards the client first, then those below and above it: its VLAN's link, its bridge's ports, its VRF; then
   * the same of the link that has the server's address.
   */
  readonly links: readonly string[];
  /** Links that are not among these carry it: the first is a tunnel, or the loopback, to which a forwarder of the host may have passed it. */
  readonly tunnelled?: boolean;
}

/**
 * A type of resource, as pure functions from data to data: no I/O, no SSH, no Pulumi, no other kind.
 * The lifecycle calls them in this order: schema, refine, id, query, parse, ensure or remove, query, parse.
 */
export interface Kind<S extends z.ZodRawShape = z.ZodRawShape, F = object> {
  /** In users' state: never renamed. */
  readonly name: string;
  /** Each field is canonical by itself and idempotent; messages say what is allowed. */
  readonly schema: z.ZodObject<S, z.core.$strict>;
  /** Rules across fields, asked when all fields are known. */
  refine?(d: Desired<S>): readonly Problem[];
  /** The keys of `id`: only they replace. */
  readonly identity: readonly (keyof S & string)[];
  /** Two of them cannot exist side by side on a host, so a replacement deletes first. */
  readonly deleteBeforeReplace?: boolean;
  /** Values that are always there (sysctl), not an object: it exists by its record alone, and none is foreign. */
  readonly setting?: boolean;
  /** It is what its fields say, all of them: one that leaves the program is gone, whatever was found before us. */
  readonly whole?: boolean;
  /** Fields that are left alone where they are left out, and emptied where they are empty: any other list says the same then. */
  readonly managed?: readonly (keyof S & string)[];
  /** Readable, unique on a host among this kind: "inet/fw". */
  id(d: Desired<S>): string;
  /**
   * Prints only stable text of what is managed: two looks in a row are byte-equal while taps come and go. `changed`: a
   * change has just succeeded; what its one transaction vouches for need not be read back.
   */
  query(d: Desired<S>, last?: Last<S, F>, changed?: boolean): readonly Query[];
  /** One result for each query, in order. Throws when unsure: an odd answer is never "absent". */
  parse(results: readonly Result[], d: Desired<S>, last?: Last<S, F>): Observed<S, F>;
  /**
   * Idempotent: half-run and run again, it ends in the same place. Also the undo of an update.
   * Throws a HostnetError for what only the host can know, as a port that does not exist there.
   */
  ensure(d: Desired<S>, before: Observed<S, F>, last?: Last<S, F>): readonly Step[];
  /** What of the facts before a change stays worth knowing after it, as how a member was found. */
  keep?(after: F, before: F): F;
  /** Takes back only what is still ours, in any order of deletes. Also the undo of a create. */
  remove(before: Observed<S, F>, last: Last<S, F>): readonly Step[];
  /** Why the object cannot be removed now, in a sentence that names what is in the way. */
  blocked?(before: Observed<S, F>, last: Last<S, F>): string | undefined;
  /** Host settings shared with other resources. Steps marked `released` undo them with the last claim. */
  claims?(d: Desired<S>, before?: Observed<S, F>): Readonly<Record<string, Claim>>;
  /** What a failed step's tool said, on the property of the program that it is about; undefined where that is unknown. */
  explain?(step: Step, result: Result, d: Desired<S>): string | undefined;
  /** Links that it takes in: who else configures them is told to leave them alone (managers.ts). */
  members?(d: Desired<S>): readonly string[];
  /** Left out, or undefined: nobody could be in its way. */
  neighbours?(d: Desired<S>): Neighbours | undefined;
  /** For `hostnet:check`, which asks nft before anything is sent. */
  trial?(d: Desired<S>): Trial;
  /** `facts` are from before the change. Left out: it comes back by itself. */
  boot?(d: Desired<S>, facts: F): Boot<F>;
  /** Seconds that a change may take, beyond what any change may. */
  patience?(before: Observed<S, F>, after?: Desired<S>): number;
  exposure(before: Observed<S, F>, after?: Desired<S>): Exposure | undefined;
  /**
   * Why the change is certain to cut the way to the host, in a sentence that names the rule or the link; unsure is no answer.
   * Throws where the host could not take it back, for then nobody may try it.
   */
  lockout?(before: Observed<S, F>, after: Desired<S> | undefined, way: Way): string | undefined;
  /** The facts that a program can use, as outputs beside the declared fields. */
  outputs?(facts: F): Readonly<Record<string, unknown>>;
}
