// BullMQ as its users run it: a queue in Redis, a worker that produces a record for each job and is
// done when Kafka has confirmed it. Speaks lines of JSON, like the helpers in Python (bench/actors.py).
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Queue, Worker } from 'bullmq';
import { Kafka, Partitioners, logLevel } from 'kafkajs';

const CONCURRENCY = 256; // jobs under way in the worker
const JOB_BYTES = 220;

let place, queue, producer, worker;
let jobs = [];
let ids = [];

const handlers = {
  async open({ host, port, bootstrap, topic }) {
    place = { host, port, topic };
    queue = new Queue(topic, { connection: { host, port } });
    await queue.waitUntilReady();
    const kafka = new Kafka({ clientId: 'bench', brokers: [bootstrap], logLevel: logLevel.ERROR });
    producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    return {};
  },

  // Jobs of the product's size; `at` is in epoch ms.
  async prepare({ first, step, count }) {
    const data = { type: 'bench', creator: 'bench-client', payload: '' };
    data.payload = 'x'.repeat(JOB_BYTES - JSON.stringify({ ...data, at: Date.now() }).length);
    jobs = Array.from({ length: count }, (_, number) => {
      const at = Math.floor((first + step * number) * 1000);
      return { name: 'bench', data: { ...data, at }, opts: { removeOnComplete: true } };
    });
    return {};
  },

  async submit({ size, in_flight }) {
    const pieces = [];
    for (let start = 0; start < jobs.length; start += size) {
      pieces.push(jobs.slice(start, start + size));
    }
    const began = performance.now();
    const client = async () => {
      for (let piece = pieces.pop(); piece; piece = pieces.pop()) {
        const now = Date.now();
        for (const job of piece) {
          job.opts.delay = Math.max(0, job.data.at - now);
        }
        const added = await queue.addBulk(piece);
        ids.push(...added.map((job) => job.id));
      }
    };
    await Promise.all(Array.from({ length: in_flight }, client));
    return { seconds: (performance.now() - began) / 1000 };
  },

  async ids({ path }) {
    writeFileSync(path, ids.join('\n'));
    const told = { jobs: ids.length, different: new Set(ids).size };
    ids = [];
    return told;
  },

  async start() {
    const { host, port, topic } = place;
    const work = async (job) => {
      const seen = performance.timeOrigin + performance.now();
      const value = Buffer.from(JSON.stringify(job.data));
      const headers = {
        'occurrence-id': `${job.id}/${job.data.at}/${job.attemptsMade + 1}`,
        'job-id': job.id,
        'nominal-time': new Date(job.data.at).toISOString(),
        attempt: String(job.attemptsMade + 1),
        'event-id': `bull-${job.id}`,
        seen: String(seen),
      };
      const messages = [{ key: 'queuedJob', value, headers, partition: 0 }];
      await producer.send({ topic, acks: -1, messages });
    };
    const connection = { host, port, maxRetriesPerRequest: null };
    worker = new Worker(topic, work, { connection, concurrency: CONCURRENCY });
    await worker.waitUntilReady();
    return {};
  },

  async end() {
    await worker?.close();
    await queue.close();
    await producer.disconnect();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const reply = await handlers[order.do](order).catch((fault) => ({ fault: String(fault) }));
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit(0);
