// A worker in Go, with franz-go. It does runs of the type `resize`.
//
// `protoc --go_out` makes types of the protos; four fields do not need them. It answers before it
// commits, so a crash brings the last runs again: keep their occurrence ids if that matters.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"
)

// ScheduledJob has the fields 1 and 2 of the message, and the bytes of its data.
type ScheduledJob struct {
	id   uint64
	kind string
	data []byte
}

func decode(b []byte) (job ScheduledJob) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if n < 0 || size < 0 {
			return
		}
		switch value := b[n : n+size]; number {
		case 1:
			job.id, _ = protowire.ConsumeVarint(value)
		case 2:
			job.kind, _ = protowire.ConsumeString(value)
		case 3:
			job.data, _ = protowire.ConsumeBytes(value)
		}
		b = b[n+size:]
	}
	return
}

func answer(id uint64, fault error) (string, []byte) {
	value := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), id)
	if fault == nil {
		return "jobDone", value
	}
	return "jobFailed", protowire.AppendString(protowire.AppendTag(value, 2, protowire.BytesType), fault.Error())
}

func resize(job ScheduledJob) error {
	fmt.Println("resized by run", job.id)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	servers := cmp.Or(os.Getenv("SCHEDULING_KAFKA_BOOTSTRAP_SERVERS"), "127.0.0.1:9092")
	topic := cmp.Or(os.Getenv("SCHEDULING_TOPIC_JOBS"), "io.restorecommerce.jobs")
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(servers, ",")...), kgo.ConsumerGroup("go-resize"),
		kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableAutoCommit())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			job := decode(record.Value)
			if string(record.Key) == "queuedJob" && job.kind == "resize" {
				key, value := answer(job.id, resize(job))
				reply := &kgo.Record{Topic: topic, Partition: record.Partition, Key: []byte(key), Value: value}
				if err := client.ProduceSync(context.Background(), reply).FirstErr(); err != nil {
					log.Fatal(err) // not committed: the run comes again
				}
			}
		})
		_ = client.CommitUncommittedOffsets(context.Background())
	}
}
