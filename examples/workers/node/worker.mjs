// A worker in Node, with kafkajs and the protos. It does runs of the type `send_sms`.
//
// It answers before it commits. kafkajs commits after `eachMessage` has returned, so a crash brings
// the last runs again: keep their occurrence ids if your work must not be done twice.
import kafkajs from "kafkajs";
import protobuf from "protobufjs";

const servers = process.env.SCHEDULING_KAFKA_BOOTSTRAP_SERVERS ?? "127.0.0.1:9092";
const topic = process.env.SCHEDULING_TOPIC_JOBS ?? "io.restorecommerce.jobs";
const root = new protobuf.Root();
root.resolvePath = (_, file) => `${process.env.PROTOS ?? "../../../proto"}/${file}`;
await root.load("scheduling_client/wire/job.proto");
const message = (name) => root.lookupType(`io.restorecommerce.job.${name}`);

const handlers = {
  send_sms: async (job) => console.log("sms", job.data.payload[0].value.toString()),
};

const kafka = new kafkajs.Kafka({ brokers: servers.split(","), logLevel: kafkajs.logLevel.ERROR });
const consumer = kafka.consumer({ groupId: "node-sms", readUncommitted: false });
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });

async function answer(key, type, fields, partition) {
  const value = message(type).encode(fields).finish();
  await producer.send({ topic, acks: -1, messages: [{ key, value, partition }] });
}

async function eachMessage({ partition, message: record }) {
  if (record.key?.toString() !== "queuedJob") return;
  const job = message("ScheduledJob").decode(record.value);
  const handler = handlers[job.type];
  if (!handler) return;
  const { id, scheduleType } = job;
  try {
    await handler(job);
  } catch (error) {
    await answer("jobFailed", "JobFailed", { id, scheduleType, error: `${error}` }, partition);
    return;
  }
  await answer("jobDone", "JobDone", { id, scheduleType }, partition);
}

await producer.connect();
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({ eachMessage });
process.once("SIGTERM", async () => {
  await consumer.disconnect();
  await producer.disconnect();
});
