// Empty runs through a worker of BullMQ: `node empty.mjs PORT COUNT` prints runs a second.
import { Queue, Worker } from 'bullmq';

const CONCURRENCY = 256;
const BATCH = 1000;
const [port, count] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };

const queue = new Queue('empty', { connection });
const job = { name: 'empty', data: {}, opts: { removeOnComplete: true } };
for (let left = count; left > 0; left -= BATCH) {
  await queue.addBulk(Array(Math.min(BATCH, left)).fill(job));
}

let began = 0;
let done = 0;
const work = async () => {
  began ||= performance.now();
};
const worker = new Worker('empty', work, { connection, concurrency: CONCURRENCY });
await new Promise((resolve) => {
  worker.on('completed', () => {
    done += 1;
    if (done === count) resolve();
  });
});
console.log((count * 1000) / (performance.now() - began));
await worker.close();
await queue.close();
