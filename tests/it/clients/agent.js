// One agent that keeps connections alive: server URL, conductor URL, rounds.
const http = require("node:http");

const [server, conductor, rounds] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

const get = (url) =>
  new Promise((resolve, reject) => {
    const request = http.get(url, { agent }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (more) => (body += more));
      answer.on("end", () => resolve({ body, generation: answer.headers["x-generation"] }));
      answer.on("error", reject);
    });
    request.on("error", reject);
  });

(async () => {
  for (let number = 0; number <= Number(rounds); number++) {
    if (number > 0) await get(conductor);
    // The agent gives a connection back one turn after its answer.
    await new Promise(setImmediate);
    const { body, generation } = await get(server);
    console.log(`${body} ${generation}`);
  }
  agent.destroy();
})();
