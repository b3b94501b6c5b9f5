// River: jobs in PostgreSQL, and a worker that produces a record for each job and is done when
// Kafka has confirmed it. Speaks lines of JSON, like the helpers in Python (bench/actors.py).
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	maxWorkers = 100
	// How often it looks for due jobs. With its default of a second that would be the lateness.
	poll = 10 * time.Millisecond
	// When a run of a worker that died is begun again; the default is an hour.
	rescueAfter = 10 * time.Second
)

var payload = strings.Repeat("x", 130) // makes a job as large as those of the others

type order struct {
	Do, Bootstrap, Topic, Postgres, Path string
	First, Step                          float64
	Count, Size                          int
	InFlight                             int `json:"in_flight"`
}

type reply map[string]any

type args struct {
	ID      string `json:"id"`
	At      int64  `json:"at"` // epoch ms
	Payload string `json:"payload"`
}

func (args) Kind() string { return "bench" }

type worker struct {
	river.WorkerDefaults[args]
	kafka *kgo.Client
	topic string
}

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	seen := float64(time.Now().UnixMicro()) / 1000
	value, err := json.Marshal(job.Args)
	if err != nil {
		return err
	}
	headers := map[string]string{
		"job-id":       job.Args.ID,
		"nominal-time": time.UnixMilli(job.Args.At).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		"seen":         fmt.Sprintf("%.3f", seen),
	}
	record := &kgo.Record{Topic: w.topic, Key: []byte("queuedJob"), Value: value}
	for name, text := range headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(text)})
	}
	return w.kafka.ProduceSync(ctx, record).FirstErr()
}

type queue struct {
	client *river.Client[pgx.Tx]
	jobs   []args
	ids    []string
}

func (q *queue) open(ctx context.Context, o order) (reply, error) {
	pool, err := pgxpool.New(ctx, o.Postgres+"?pool_max_conns=20")
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(o.Bootstrap), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(*kgo.Record, int) int { return 0 }
		})))
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{kafka: kafka, topic: o.Topic})
	q.client, err = river.NewClient(driver, &river.Config{
		FetchCooldown:        poll,
		FetchPollInterval:    poll,
		JobTimeout:           rescueAfter / 2,
		Logger:               slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		RescueStuckJobsAfter: rescueAfter,
		Workers:              workers,
	})
	return reply{}, err
}

func (q *queue) prepare(o order) (reply, error) {
	q.jobs = make([]args, o.Count)
	for number := range q.jobs {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		at := int64((o.First + o.Step*float64(number)) * 1000)
		q.jobs[number] = args{hex.EncodeToString(random), at, payload}
	}
	return reply{}, nil
}

// Submits by COPY, as River advises for many jobs.
func (q *queue) submit(ctx context.Context, o order) (reply, error) {
	pieces := make(chan []args, len(q.jobs)/o.Size+1)
	for start := 0; start < len(q.jobs); start += o.Size {
		pieces <- q.jobs[start:min(start+o.Size, len(q.jobs))]
	}
	close(pieces)
	began := time.Now()
	var clients sync.WaitGroup
	var lock sync.Mutex
	var fault error
	for range o.InFlight {
		clients.Go(func() {
			for piece := range pieces {
				params := make([]river.InsertManyParams, len(piece))
				for number, job := range piece {
					opts := &river.InsertOpts{ScheduledAt: time.UnixMilli(job.At)}
					params[number] = river.InsertManyParams{Args: job, InsertOpts: opts}
				}
				count, err := q.client.InsertManyFast(ctx, params)
				lock.Lock()
				if err == nil && count != len(piece) {
					err = fmt.Errorf("%d of %d jobs were inserted", count, len(piece))
				}
				if err != nil {
					fault = err
				} else {
					for _, job := range piece {
						q.ids = append(q.ids, job.ID)
					}
				}
				lock.Unlock()
			}
		})
	}
	clients.Wait()
	return reply{"seconds": time.Since(began).Seconds()}, fault
}

func (q *queue) writeIDs(o order) (reply, error) {
	different := map[string]bool{}
	for _, id := range q.ids {
		different[id] = true
	}
	told := reply{"jobs": len(q.ids), "different": len(different)}
	err := os.WriteFile(o.Path, []byte(strings.Join(q.ids, "\n")), 0o600)
	q.ids = nil
	return told, err
}

func (q *queue) obey(ctx context.Context, o order) (reply, error) {
	switch o.Do {
	case "open":
		return q.open(ctx, o)
	case "prepare":
		return q.prepare(o)
	case "submit":
		return q.submit(ctx, o)
	case "ids":
		return q.writeIDs(o)
	case "start":
		return reply{}, q.client.Start(ctx)
	case "end":
		return reply{}, q.client.Stop(ctx)
	}
	return nil, fmt.Errorf("unknown order %q", o.Do)
}

func main() {
	ctx, q := context.Background(), &queue{}
	orders, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for orders.Scan() {
		var o order
		told, err := reply(nil), json.Unmarshal(orders.Bytes(), &o)
		if err == nil {
			told, err = q.obey(ctx, o)
		}
		if err != nil {
			told = reply{"fault": err.Error()}
		}
		if err := out.Encode(told); err != nil {
			os.Exit(1)
		}
	}
}
