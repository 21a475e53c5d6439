/*
 * scan.c
 *		Execution of a scan: begin, iterate, rescan, end, and what EXPLAIN ANALYZE says of it.
 *
 * Nothing is asked of Kafka before the first row is: EXPLAIN, and scans that a plan never comes to,
 * cost nothing. Then the topic's ends are taken (once a statement for each topic, so that two scans
 * of it agree; earlier where the session is about to send to it, so that no scan reads what its own
 * statement sends), conditions and options become ranges of offsets, and the consumer reads those. A
 * rescan keeps the ends and asks anew only what its parameters changed.
 *
 * A scan below a Gather is shared by several processes (parallel.c). The leader alone resolves its
 * ranges, as workers start and again with each rescan; all then read what parallel.c gives them. No
 * scan that is not shared runs in a worker: it would take ends of its own there (plan_parallel.c).
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "client.h"
#include "compat.h"
#include "ingest_batch.h"
#include "parallel.h"
#include "plan.h"
#include "resolve.h"
#include "reverse.h"
#include "row.h"
#include "scan.h"
#include "setting.h"

#define MAX_RANGES_SHOWN 20		/* by EXPLAIN ANALYZE; the rest is counted */

/* A scan under way: ForeignScanState.fdw_state. */
typedef struct KafkaScan
{
	dlist_node	node;			/* in "open_ended", while there is no snapshot */
	MemoryContextCallback callback;
	EState	   *estate;
	KafkaTable *table;
	MemoryContext cxt;			/* lives as long as the query */
	MemoryContext range_cxt;	/* reset by each resolution */
	KafkaOrder	order;
	KafkaQual  *qual;			/* NULL: no condition was pushed down */
	KafkaRow   *row;
	KafkaConsumer *consumer;	/* opened with the first row */
	KafkaReverse *reverse;		/* over the consumer, for descending order */
	KafkaIngestBatch *batch;	/* what a subscription shows in place of the topic; else NULL */
	int			next;			/* of its messages */
	KafkaParallel *parallel;	/* NULL: the scan was never shared */
	int64		warned;			/* of a shared scan's lost offsets, those warned of */
	KafkaSnapshot *snapshot;
	KafkaRange *ranges;
	int			nranges;
	bool		resolved;		/* ranges hold for the present parameters ... */
	bool		presumed;		/* ... if the topic has them all: it has not been looked at */
	bool		again;			/* the scan has run before, and keeps to what the topic held then */
	bool		running;		/* the consumer has been started on them ... */
	bool		ended;			/* ... and has given its handle back */
	int64		hidden;			/* offsets behind an open transaction; with instrumentation only */
} KafkaScan;

/*
 * The ends that the scans of one statement share. An entry lives in its executor state's context,
 * whose end also takes it off the list.
 */
typedef struct SharedSnapshot
{
	struct SharedSnapshot *next;
	MemoryContextCallback callback;
	EState	   *estate;
	Oid			serverid;
	Oid			userid;
	bool		read_committed;
	char	   *topic;
	KafkaSnapshot *snapshot;
} SharedSnapshot;

static SharedSnapshot *shared_snapshots = NULL;

/* Scans of this session that have begun, and have not been asked for a row yet. */
static dlist_head open_ended = DLIST_STATIC_INIT(open_ended);

static void
leave_open_ended(KafkaScan *scan)
{
	if (scan->node.next != NULL)
		dlist_delete(&scan->node);
	scan->node.next = NULL;
}

/* The memory context's callback. */
static void
forget_scan(void *arg)
{
	leave_open_ended((KafkaScan *) arg);
}

static void
forget_snapshot(void *arg)
{
	SharedSnapshot **link;

	for (link = &shared_snapshots; *link; link = &(*link)->next)
	{
		if (*link == (SharedSnapshot *) arg)
		{
			*link = (*link)->next;
			return;
		}
	}
}

/* The topic's ends as this statement sees them, where it has looked already; else NULL. */
static KafkaSnapshot *
known_snapshot(const KafkaScan *scan)
{
	SharedSnapshot *entry;

	for (entry = shared_snapshots; entry; entry = entry->next)
	{
		if (entry->estate == scan->estate && entry->serverid == scan->table->server->serverid &&
			entry->userid == scan->table->server->userid &&
			entry->read_committed == scan->table->read_committed &&
			strcmp(entry->topic, scan->table->topic) == 0)
			return entry->snapshot;
	}
	return NULL;
}

/* The same; they are looked up where nobody has done so yet. */
static KafkaSnapshot *
statement_snapshot(KafkaScan *scan)
{
	EState	   *estate = scan->estate;
	KafkaSnapshot *known = known_snapshot(scan);
	SharedSnapshot *entry;
	MemoryContext old;

	if (known)
		return known;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	entry = palloc0(sizeof(SharedSnapshot));
	entry->estate = estate;
	entry->serverid = scan->table->server->serverid;
	entry->userid = scan->table->server->userid;
	entry->read_committed = scan->table->read_committed;
	entry->topic = pstrdup(scan->table->topic);
	entry->snapshot = KafkaConsumerSnapshot(scan->consumer);
	entry->callback.func = forget_snapshot;
	entry->callback.arg = entry;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &entry->callback);
	entry->next = shared_snapshots;
	shared_snapshots = entry;
	MemoryContextSwitchTo(old);
	return entry->snapshot;
}

/*
 * How many offsets a read_uncommitted reader would see past our end, for EXPLAIN ANALYZE: why rows
 * that were sent are not there.
 */
static int64
count_hidden(KafkaScan *scan)
{
	KafkaConsumer *probe = KafkaConsumerOpen(scan->table->server, scan->table->topic, false, false);
	KafkaSnapshot *high = KafkaConsumerSnapshot(probe);
	int64		hidden = 0;

	KafkaConsumerClose(probe);
	for (int i = 0; i < high->npartitions; i++)
	{
		for (int j = 0; j < scan->snapshot->npartitions; j++)
		{
			KafkaPartition *seen = &scan->snapshot->partitions[j];

			if (seen->partition == high->partitions[i].partition &&
				high->partitions[i].end > seen->end)
				hidden += high->partitions[i].end - seen->end;
		}
	}
	return hidden;
}

static void
open_consumer(KafkaScan *scan)
{
	KafkaTable *table = scan->table;
	MemoryContext old = MemoryContextSwitchTo(scan->cxt);

	if (scan->consumer == NULL)
		scan->consumer = KafkaConsumerOpen(table->server, table->topic, table->read_committed,
										   table->wait_timeout != 0);
	KafkaConsumerResume(scan->consumer);
	MemoryContextSwitchTo(old);
}

/* Have a consumer, and know where the topic ends. */
static void
take_ends(KafkaScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->cxt);

	open_consumer(scan);
	if (scan->snapshot == NULL)
	{
		scan->snapshot = statement_snapshot(scan);
		KafkaConsumerHoldTo(scan->consumer, scan->snapshot);
		leave_open_ended(scan);
		if (scan->estate->es_instrument && scan->table->read_committed)
			scan->hidden = count_hidden(scan);
	}
	MemoryContextSwitchTo(old);
}

void
KafkaScanFixEnds(const char *topic)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &open_ended)
	{
		KafkaScan  *scan = dlist_container(KafkaScan, node, iter.cur);

		if (strcmp(scan->table->topic, topic) == 0)
		{
			take_ends(scan);
			(void) KafkaConsumerRest(scan->consumer);
		}
	}
}

/* What is asked for, given the present parameters. */
static KafkaRequest
make_request(ForeignScanState *node, const KafkaScan *scan)
{
	const KafkaTable *table = scan->table;
	KafkaRequest request = {0};

	request.topic = table->topic;
	request.start = table->start;
	request.end = table->end;
	request.tail = table->wait_timeout != 0;
	request.end_given = table->end_given;
	request.timestamp_ordered = table->timestamp_ordered;
	request.max_timestamp_skew = table->max_timestamp_skew;
	request.now = kafka_timestamptz_to_ms(GetCurrentStatementStartTimestamp());
	request.boxes = scan->qual ? KafkaQualEvaluate(scan->qual, node->ss.ps.ps_ExprContext)
		: KafkaRangeAll();
	return request;
}

/*
 * Work out what to read. With "presume", ranges that the condition names by itself are taken as they
 * are: the consumer sees to it that all their messages were there as the scan began, and so no other
 * scan of this statement sees less of them.
 */
static void
resolve_ranges(ForeignScanState *node, KafkaScan *scan, bool presume)
{
	KafkaRequest request;
	MemoryContext old;

	open_consumer(scan);
	if (!presume || scan->snapshot || known_snapshot(scan))
		take_ends(scan);
	MemoryContextReset(scan->range_cxt);
	old = MemoryContextSwitchTo(scan->range_cxt);
	request = make_request(node, scan);
	scan->ranges = scan->snapshot ? NULL
		: KafkaPresume(scan->consumer, &request, &scan->nranges);
	scan->presumed = scan->ranges != NULL;
	if (!scan->presumed)
	{
		take_ends(scan);
		scan->ranges = KafkaResolve(scan->consumer, scan->snapshot, &request, &scan->nranges);
	}
	MemoryContextSwitchTo(old);
	scan->resolved = true;
}

/* Read this process's share. */
static void
start_sharing(KafkaScan *scan)
{
	KafkaTable *table = scan->table;

	if (scan->consumer == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(scan->cxt);

		scan->consumer = KafkaConsumerOpenBulk(table->server, table->topic,
											   table->read_committed);
		MemoryContextSwitchTo(old);
	}
	KafkaConsumerResume(scan->consumer);
	KafkaParallelStart(scan->parallel, scan->consumer);
	scan->resolved = true;
	scan->running = true;
}

/*
 * A plan keeps its scans until it ends, those that are at their end too: a query over hundreds of topics
 * (partitions of a table, or a UNION) would need as many handles, and run out of descriptors. Where there
 * are many the next scan can have this one's.
 */
static void
come_to_end(KafkaScan *scan)
{
	if (!KafkaConsumerRest(scan->consumer))
		return;
	if (scan->reverse)
		KafkaReverseClose(scan->reverse);
	scan->reverse = NULL;
	scan->ended = true;
}

static void
start_reading(ForeignScanState *node, KafkaScan *scan)
{
	if (scan->parallel && KafkaParallelIsShared(scan->parallel))
	{
		start_sharing(scan);
		return;
	}
	open_consumer(scan);
	if (!scan->resolved)
		resolve_ranges(node, scan, scan->order != KAFKA_ORDER_DESC && !scan->again);
	if (scan->order == KAFKA_ORDER_DESC)
	{
		MemoryContext old = MemoryContextSwitchTo(scan->range_cxt);

		scan->reverse = KafkaReverseOpen(scan->consumer, scan->ranges, scan->nranges);
		MemoryContextSwitchTo(old);
	}
	else if (scan->presumed)
		KafkaConsumerStartPresumed(scan->consumer, scan->ranges, scan->nranges);
	else
	{
		KafkaTail	tail = {0};

		tail.snapshot = scan->snapshot;
		tail.wait_timeout = scan->table->wait_timeout;
		tail.max_wait = scan->table->max_wait;
		tail.before_wait = KafkaClientFlush;
		KafkaConsumerStart(scan->consumer, scan->ranges, scan->nranges, &tail);
	}
	scan->running = true;
}

void
kafkaBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState	   *estate = node->ss.ps.state;
	Relation	rel = node->ss.ss_currentRelation;
	KafkaScan  *scan;
	MemoryContext old;
	Bitmapset  *used = NULL;
	ListCell   *lc;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	KafkaSettingCheckRead();

	scan = palloc0(sizeof(KafkaScan));
	scan->cxt = AllocSetContextCreate(estate->es_query_cxt, "kafka_fdw scan",
									  ALLOCSET_DEFAULT_SIZES);
	scan->range_cxt = AllocSetContextCreate(scan->cxt, "kafka_fdw ranges", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(scan->cxt);
	scan->table = KafkaOptionGetTable(RelationGetRelid(rel), kafka_scan_user(node));
	KafkaOptionCheckTopic(scan->table->server, scan->table->topic);
	scan->order = intVal(list_nth(plan->fdw_private, KAFKA_SCAN_ORDER));
	foreach(lc, (List *) list_nth(plan->fdw_private, KAFKA_SCAN_ATTRS))
		used = bms_add_member(used, lfirst_int(lc));
	scan->row = KafkaRowOpenRead(rel, scan->table, used);
	if (plan->fdw_exprs)
	{
		KafkaQualColumns columns;

		KafkaQualFindColumns(&columns, plan->scan.scanrelid, RelationGetRelid(rel));
		scan->qual = KafkaQualInit(&columns, plan->fdw_exprs, &node->ss.ps);
	}
	MemoryContextSwitchTo(old);
	scan->estate = estate;
	scan->batch = KafkaIngestBatchShown(RelationGetRelid(rel));
	if (!IsParallelWorker() && scan->batch == NULL)
	{
		scan->callback.func = forget_scan;
		scan->callback.arg = scan;
		MemoryContextRegisterResetCallback(scan->cxt, &scan->callback);
		dlist_push_tail(&open_ended, &scan->node);
	}
	node->fdw_state = scan;
}

static int
consumer_headers(void *source, const KafkaMessage *message, KafkaHeader **headers)
{
	return KafkaConsumerHeaders((KafkaConsumer *) source, message, headers);
}

static int
reverse_headers(void *source, const KafkaMessage *message, KafkaHeader **headers)
{
	return KafkaReverseHeaders((KafkaReverse *) source, headers);
}

/* A message of the batch that is shown; conditions are the executor's to check. */
static bool
next_of_batch(KafkaScan *scan, KafkaMessage *message)
{
	int			n = KafkaIngestBatchCount(scan->batch);

	if (scan->next >= n)
		return false;
	*message = *KafkaIngestBatchMessage(scan->batch, scan->order == KAFKA_ORDER_DESC
										? n - 1 - scan->next : scan->next);
	scan->next++;
	return true;
}

static bool
next_message(ForeignScanState *node, KafkaScan *scan, KafkaMessage *message)
{
	if (scan->batch)
		return next_of_batch(scan, message);
	if (scan->reverse)
		return KafkaReverseNext(scan->reverse, message);
	if (KafkaConsumerNext(scan->consumer, message))
		return true;
	if (!KafkaConsumerDoubts(scan->consumer))
		return false;
	/* The topic does not have all that was presumed, or is slow. */
	resolve_ranges(node, scan, false);
	start_reading(node, scan);
	return KafkaConsumerNext(scan->consumer, message);
}

TupleTableSlot *
kafkaIterateForeignScan(ForeignScanState *node)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	KafkaMessage message;

	ExecClearTuple(slot);
	if (scan->ended)
		return slot;
	if (!scan->running && scan->batch == NULL)
		start_reading(node, scan);
	while (next_message(node, scan, &message))
	{
		bool		shown;

		if (scan->batch)
			shown = KafkaRowStore(scan->row, &message, KafkaIngestBatchHeaders, NULL, slot);
		else if (scan->reverse)
			shown = KafkaRowStore(scan->row, &message, reverse_headers, scan->reverse, slot);
		else
			shown = KafkaRowStore(scan->row, &message, consumer_headers, scan->consumer, slot);
		if (likely(shown))
			return slot;
		CHECK_FOR_INTERRUPTS();
	}
	if (scan->batch == NULL)
		come_to_end(scan);
	return slot;
}

void
kafkaReScanForeignScan(ForeignScanState *node)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;

	if (scan == NULL)
		return;
	if (node->ss.ps.chgParam != NULL)
		scan->resolved = false;
	if (scan->reverse)
		KafkaReverseClose(scan->reverse);
	scan->reverse = NULL;
	scan->again |= scan->running;
	scan->running = scan->ended = false;
	scan->next = 0;
}

Size
kafkaEstimateDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt)
{
	return KafkaParallelSize(pcxt->nworkers);
}

/*
 * Resolve the ranges, and share them. Parameters that come from other parts of the plan have their
 * values by now, but the scan has not been told which of them changed: where there is a condition,
 * it is evaluated.
 */
static void
share_ranges(ForeignScanState *node, KafkaScan *scan)
{
	if (!scan->resolved || scan->qual)
		resolve_ranges(node, scan, false);
	KafkaParallelShare(scan->parallel, scan->ranges, scan->nranges);
	scan->running = scan->ended = false;
	/* A Gather shares all scans below it before the first of them is run. */
	if (scan->consumer)
		(void) KafkaConsumerRest(scan->consumer);
}

/* Where there was no shared memory to be had, no workers come either, and nothing is shared. */
void
kafkaInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;
	dsa_area   *area = node->ss.ps.state->es_query_dsa;
	MemoryContext old;

	if (scan->batch)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a subscription's batch cannot be read by a parallel plan")));
	if (pcxt->seg == NULL || area == NULL)
		return;
	old = MemoryContextSwitchTo(scan->cxt);
	if (scan->parallel == NULL)
		scan->parallel = KafkaParallelCreate();
	KafkaParallelOpen(scan->parallel, coordinate, pcxt->seg, area, pcxt->nworkers,
					  scan->table->server->userid);
	MemoryContextSwitchTo(old);
	share_ranges(node, scan);
}

/* All workers of before have ended. */
void
kafkaReInitializeDSMForeignScan(ForeignScanState *node, ParallelContext *pcxt, void *coordinate)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;

	if (scan->parallel && KafkaParallelIsShared(scan->parallel))
		share_ranges(node, scan);
}

/* A worker reads as whom its leader does, even if the leader's session is somebody else by now. */
void
kafkaInitializeWorkerForeignScan(ForeignScanState *node, shm_toc *toc, void *coordinate)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;
	MemoryContext old = MemoryContextSwitchTo(scan->cxt);
	Oid			userid;

	scan->parallel = KafkaParallelAttach(coordinate, node->ss.ps.state->es_query_dsa);
	userid = KafkaParallelUser(scan->parallel);
	if (scan->table->server->userid != userid)
		scan->table = KafkaOptionGetTable(scan->table->relid, userid);
	MemoryContextSwitchTo(old);
}

/* What this process has done. */
static KafkaCounters
own_counters(const KafkaScan *scan)
{
	KafkaCounters counters = {0};

	if (scan->consumer)
		counters = *KafkaConsumerCounters(scan->consumer);
	counters.skipped = KafkaRowSkipped(scan->row);
	return counters;
}

/* What all processes have done together; the leader's own alone where nothing was shared. */
static KafkaCounters
sum_counters(const KafkaScan *scan)
{
	KafkaCounters sum = own_counters(scan);

	for (int i = 0; scan->parallel && i < KafkaParallelWorkers(scan->parallel); i++)
	{
		KafkaCounters worker = KafkaParallelCounters(scan->parallel, i);

		sum.messages += worker.messages;
		sum.bytes += worker.bytes;
		sum.discarded += worker.discarded;
		sum.lost += worker.lost;
		sum.skipped += worker.skipped;
		sum.waited_us += worker.waited_us;
	}
	return sum;
}

/*
 * PostgreSQL calls this for every scan, after each FETCH of a cursor too, so it must not end one.
 * But a shared scan belongs to no cursor, and for its leader this is the moment before workers are
 * waited for: they need not read on to the next row, of which there may be none, to learn that it
 * is not wanted.
 */
void
kafkaShutdownForeignScan(ForeignScanState *node)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;
	int64		lost;

	if (scan == NULL || scan->parallel == NULL)
		return;
	if (IsParallelWorker())
	{
		KafkaCounters counters = own_counters(scan);

		KafkaParallelReport(scan->parallel, &counters);
		return;
	}
	KafkaParallelStop(scan->parallel);
	lost = sum_counters(scan).lost;
	if (lost > scan->warned)
		KafkaConsumerWarnOfLost(scan->table->topic, lost - scan->warned);
	scan->warned = lost;
}

/*
 * The consumer would be closed by the memory context too: this only does it earlier. A scan that
 * fails does not come here, and has said enough.
 */
void
kafkaEndForeignScan(ForeignScanState *node)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;

	if (scan == NULL)
		return;
	leave_open_ended(scan);
	if (scan->consumer)
		KafkaConsumerClose(scan->consumer);
	/* What a worker left out its leader tells, with the rest. */
	if (!IsParallelWorker())
		KafkaRowWarnSkipped(scan->row, sum_counters(scan).skipped);
}

/* The ranges that were read, as far as they can be looked over. */
static char *
describe_ranges(const KafkaScan *scan)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < scan->nranges && i < MAX_RANGES_SHOWN; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", KafkaRangeToString(&scan->ranges[i]));
	if (scan->nranges > MAX_RANGES_SHOWN)
		appendStringInfo(&buf, ", and %d more", scan->nranges - MAX_RANGES_SHOWN);
	return scan->nranges > 0 ? buf.data : "none";
}

/* Messages of each process of a shared scan: how evenly it was shared. */
static char *
describe_share(const KafkaScan *scan)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "leader " INT64_FORMAT, scan->consumer
					 ? KafkaConsumerCounters(scan->consumer)->messages : 0);
	for (int i = 0; i < KafkaParallelWorkers(scan->parallel); i++)
		appendStringInfo(&buf, ", worker %d " INT64_FORMAT, i,
						 KafkaParallelCounters(scan->parallel, i).messages);
	return buf.data;
}

void
kafkaExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	KafkaScan  *scan = (KafkaScan *) node->fdw_state;
	KafkaCounters counters;

	KafkaPlanExplain(node, es);
	if (!es->analyze || scan == NULL || scan->consumer == NULL)
		return;
	counters = sum_counters(scan);
	if (scan->resolved)
		ExplainPropertyText("Kafka Ranges Read", describe_ranges(scan), es);
	ExplainPropertyInteger("Kafka Messages", NULL, counters.messages, es);
	if (es->verbose && scan->parallel)
		ExplainPropertyText("Kafka Messages by Process", describe_share(scan), es);
	ExplainPropertyInteger("Kafka Bytes", NULL, counters.bytes, es);
	if (counters.discarded > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyInteger("Kafka Messages Outside Ranges", NULL, counters.discarded, es);
	if (counters.skipped > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyInteger("Kafka Rows Skipped", NULL, counters.skipped, es);
	if (counters.lost > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyInteger("Kafka Offsets Lost to Retention", NULL, counters.lost, es);
	if (scan->hidden > 0 || es->format != EXPLAIN_FORMAT_TEXT)
		ExplainPropertyInteger("Kafka Offsets Hidden by Open Transactions", NULL, scan->hidden,
							   es);
	if (es->timing)
		ExplainPropertyFloat("Kafka Wait Time", "ms", counters.waited_us / 1000.0, 3, es);
}
