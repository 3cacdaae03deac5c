// A server of pages, whose origin is that of no m3a3.

import { createServer } from "node:http";

/** Serves pages until the test ends, and returns their origin. `page` maps a path to HTML, or to undefined. */
export async function origin(t, page) {
  const server = createServer((request, response) => {
    const html = page(request.url);
    response.writeHead(html ? 200 : 404, { "Content-Type": "text/html" }).end(html);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}`;
}
