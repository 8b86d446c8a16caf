// A receiver with Node's http: each body becomes a file, named by its batch id, before the answer.
// PEER_SYNC=1 syncs file and folder first, which is the guarantee that postlake gives.
'use strict';

const fs = require('node:fs/promises');
const http = require('node:http');
const path = require('node:path');

const folder = process.env.PEER_FOLDER;
const sync = process.env.PEER_SYNC === '1';

async function synced(name, flags, write) {
  const file = await fs.open(name, flags);
  try {
    await write(file);
    if (sync) await file.sync();
  } finally {
    await file.close();
  }
}

async function store(name, chunks) {
  await synced(path.join(folder, name), 'wx', (file) => file.writeFile(Buffer.concat(chunks)));
  if (sync) await synced(folder, 'r', async () => {});
}

function answer(response, status) {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': 2 });
  response.end('{}');
}

const server = http.createServer((request, response) => {
  const name = request.headers['x-messagesystems-batch-id'] ?? '';
  if (request.method !== 'POST' || !/^[0-9a-f-]{1,64}$/.test(name)) {
    answer(response, 400);
    return;
  }
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    store(name, chunks).then(
      () => answer(response, 200),
      () => answer(response, 503),
    );
  });
});
server.listen(Number(process.env.PEER_PORT), '127.0.0.1');
