// The part of nginx.conf that stores a body under its batch id.
import fs from 'fs';

const folder = process.env.PEER_FOLDER;

function events(r) {
  const name = r.headersIn['x-messagesystems-batch-id'] || '';
  if (r.method !== 'POST' || !/^[0-9a-f-]{1,64}$/.test(name)) {
    r.return(400, '{}');
    return;
  }
  fs.writeFileSync(folder + '/' + name, r.requestBuffer);
  r.headersOut['Content-Type'] = 'application/json';
  r.return(200, '{}');
}

export default { events };
