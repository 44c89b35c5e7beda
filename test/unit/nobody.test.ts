// CI often runs in a container as a user that no passwd knows.
jest.mock("node:os", () => {
  const unknown = (): never => {
    throw new Error("uv_os_get_passwd returned ENOENT");
  };
  return { ...jest.requireActual<object>("node:os"), userInfo: unknown, homedir: unknown };
});

test("a user without a name: the provider loads, and says its number", async () => {
  expect(Object.keys(await import("../../provider/v1"))).toContain("bridge");
  const { surroundings } = await import("../../provider/host/ssh-config-file");
  const { USER, ...rest } = process.env;
  process.env = rest;
  expect(surroundings()).toMatchObject({ home: "/", user: String(process.getuid?.()) });
  process.env = { ...rest, ...(USER !== undefined && { USER }) };
});
