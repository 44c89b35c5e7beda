import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { ROOT } from "../compiled";

type Props = Record<string, unknown>;

/** A folder as that of a user's project: this package is there as a direct dependency, and nothing else. */
export function project(): string {
  const folder = mkdtempSync(join(tmpdir(), "hostnet-project-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules", "pulumi-hostnet"));
  return folder;
}

export const NODE = join(ROOT, "node_modules", ".bin", "node");

/** Pulumi's own process for dynamic providers, as the engine starts it: plain node, in the project's folder. */
export class ProviderProcess {
  /** All that it printed: the CLI would show it to the user. */
  output = "";
  private readonly folder = project();
  private child!: ChildProcess;
  private client!: ResourceProviderClient;

  async start(config: Props = {}, env: NodeJS.ProcessEnv = {}): Promise<this> {
    const script = join(ROOT, "node_modules", "@pulumi", "pulumi", "cmd", "dynamic-provider", "index.js");
    this.child = spawn(NODE, [script, "127.0.0.1:1"], {
      cwd: this.folder,
      detached: true,
      env: { PATH: process.env.PATH, HOME: this.folder, PULUMI_NODEJS_PROJECT: "net", ...env },
    });
    const port = await new Promise<number>((resolve, reject) => {
      this.child.stdout!.once("data", (data) => resolve(Number(String(data).trim())));
      this.child.once("exit", () => reject(new Error(`the provider process ended: ${this.output}`)));
      this.child.stderr!.on("data", (data) => {
        this.output += data;
      });
    });
    this.child.stdout!.on("data", (data) => {
      this.output += data;
    });
    this.client = new ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
    const request = new proto.ConfigureRequest();
    request.setArgs(Struct.fromJavaScript(config as never));
    await this.call<unknown>("configure", request);
    return this;
  }

  async check(olds: Props, news: Props) {
    const request = new proto.CheckRequest();
    request.setOlds(Struct.fromJavaScript(olds as never));
    request.setNews(Struct.fromJavaScript(news as never));
    const response = await this.call<proto.CheckResponse>("check", request);
    return {
      inputs: response.getInputs()!.toJavaScript() as Props,
      failures: response.getFailuresList().map((f) => `${f.getProperty()}: ${f.getReason()}`),
    };
  }

  async diff(olds: Props, news: Props) {
    const request = new proto.DiffRequest();
    request.setId("id");
    request.setOlds(Struct.fromJavaScript(olds as never));
    request.setNews(Struct.fromJavaScript(news as never));
    const response = await this.call<proto.DiffResponse>("diff", request);
    return {
      changes: response.getChanges() === proto.DiffResponse.DiffChanges.DIFF_SOME,
      replaces: response.getReplacesList(),
      deleteBeforeReplace: response.getDeletebeforereplace(),
    };
  }

  async create(inputs: Props) {
    const request = new proto.CreateRequest();
    request.setProperties(Struct.fromJavaScript(inputs as never));
    const response = await this.call<proto.CreateResponse>("create", request);
    return { id: response.getId(), outputs: response.getProperties()!.toJavaScript() as Props };
  }

  async read(id: string, props: Props) {
    const request = new proto.ReadRequest();
    request.setId(id);
    request.setProperties(Struct.fromJavaScript(props as never));
    const response = await this.call<proto.ReadResponse>("read", request);
    return {
      id: response.getId(),
      outputs: response.getProperties()?.toJavaScript() as Props | undefined,
      inputs: response.getInputs()?.toJavaScript() as Props | undefined,
    };
  }

  async update(id: string, olds: Props, news: Props) {
    const request = new proto.UpdateRequest();
    request.setId(id);
    request.setOlds(Struct.fromJavaScript(olds as never));
    request.setNews(Struct.fromJavaScript(news as never));
    const response = await this.call<proto.UpdateResponse>("update", request);
    return response.getProperties()!.toJavaScript() as Props;
  }

  async delete(id: string, props: Props): Promise<void> {
    const request = new proto.DeleteRequest();
    request.setId(id);
    request.setProperties(Struct.fromJavaScript(props as never));
    await this.call<unknown>("delete", request);
  }

  async stop(): Promise<void> {
    this.client?.close();
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    if (this.child.exitCode === null) {
      process.kill(-this.child.pid!, "SIGINT");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  private call<Response>(method: string, request: unknown): Promise<Response> {
    type Method = (request: unknown, callback: (error: Error | null, response: Response) => void) => void;
    return new Promise((resolve, reject) => {
      (this.client as unknown as Record<string, Method>)[method]!(request, (error, response) =>
        error ? reject(error) : resolve(response),
      );
    });
  }
}
