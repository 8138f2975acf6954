// Publishes what comes on standard input, one event a line, and prints the
// offset of the first:
//
//	node publish.js BROKER TOPIC none|gzip plain|idempotent [USER PASSWORD CA]
const fs = require("fs");
const { Kafka, CompressionTypes, Partitioners, logLevel } = require("kafkajs");

const [broker, topic, codec, mode, username, password, ca] = process.argv.slice(2);
const kafka = new Kafka({
  clientId: "daybook-test",
  brokers: [broker],
  logLevel: logLevel.ERROR,
  ...(username && { ssl: { ca: [fs.readFileSync(ca)] }, sasl: { mechanism: "plain", username, password } }),
});
const messages = fs.readFileSync(0, "utf8").split("\n").filter((line) => line).map((value) => ({ value }));

async function main() {
  const idempotent = mode === "idempotent";
  const producer = kafka.producer({ idempotent, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const [answer] = await producer.send({
    topic, messages, acks: -1, compression: codec === "gzip" ? CompressionTypes.GZIP : CompressionTypes.None,
  });
  await producer.disconnect();
  console.log(answer.baseOffset);
}

main().catch((err) => {
  console.error(`${err.type || err.name}: ${err.message}`);
  process.exit(1);
});
