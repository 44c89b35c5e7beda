import { livesOn } from "../lab-kinds/policy-route-life";
import { LocalHost } from "../local-host";

const hosts: LocalHost[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) host.close();
});

// This machine's kernel, which is another one than the lab's.
livesOn(async () => {
  const host = new LocalHost();
  hosts.push(host);
  return host.ready();
});
