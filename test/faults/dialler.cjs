// Runs in a network namespace: dials, and hands the socket to the test.
const { connect } = require("node:net");

process.on("message", ({ id, host, port }) => {
  // What the host says first is read by the test, not here.
  const socket = connect({ host, port, noDelay: true, timeout: 20_000 }).pause();
  const fail = () => {
    socket.destroy();
    process.send({ id });
  };
  socket.once("error", fail);
  socket.once("timeout", fail);
  socket.once("connect", () => {
    socket.setTimeout(0);
    process.send({ id }, socket);
  });
});
process.on("disconnect", () => process.exit());
