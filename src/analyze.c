/*
 * analyze.c
 *		ANALYZE: a sample of a topic's rows, and an estimate of how many there are.
 *
 * What a table shows (its start and end offsets, at its isolation level) is cut into some hundred
 * windows of equally many offsets, those of a partition one after the other. Of each window a few
 * messages are read, from a place near its start on, and then the rest is jumped over. So the time
 * that it takes does not depend on the topic's size. A topic that is small enough is read whole.
 *
 * Offsets do not tell how many messages there are: compaction, retention, aborted messages and
 * transaction markers leave gaps. In each window the messages seen and the offsets that they are
 * spread over give its density, and so how many messages each of those seen stands for. Where that
 * differs between windows, rows are left out of the sample, so that each of those that remain
 * stands for about as many.
 *
 * The network and memory are bounded by bytes too: a window ends when it has given its share of
 * them, and where the rows in hand become too large together, half of them are dropped by chance
 * and only half as many are taken from then on.
 *
 * ANALYZE of a table whose brokers cannot be reached is an error, as with postgres_fdw.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "analyze.h"
#include "compat.h"
#include "resolve.h"
#include "row.h"
#include "setting.h"

#define MAX_WINDOWS 200			/* each costs a jump, of 1 to 3 ms where the broker is near ... */
#define MIN_WINDOWS 32
#define WINDOWS_MS 3000			/* ... and no more than about this long together */
#define SPARE 4					/* how many times its share a window may give, for empty ones */
#define REACH 20				/* for each message it may give, how many offsets it reads at most */
#define FARTHER 4				/* how many times farther, where that gave ...  */
#define ENOUGH 10				/* ... less than this part of the rows wanted */
#define MAX_ROWS 3				/* for each row wanted, how many are kept until the end */
#define PROBE_WINDOWS 8			/* what is read first, to learn sizes and speed */
#define PROBE_MESSAGES 16
#define PROBE_BYTES (512 * 1024)	/* in each of these */
#define PROBE_REACH 10000
#define MAX_PARTITIONS 1000		/* of a topic with more, so many are looked at ... */
#define PROBE_PARTITIONS 32		/* ... and so many first */
#define WHOLE_FACTOR 10			/* for each row wanted, messages up to which a topic is read
								 * whole, and for each of these offsets */
#define MAX_BYTES (64 * 1024 * 1024)	/* to be read, and to be kept as rows */
#define SEARCH_MESSAGES 100000	/* start_offset -N: counted exactly up to this N */

/* A piece of a partition, and what was seen of it. */
typedef struct Window
{
	int32		partition;
	int64		first;			/* what it stands for: [first, end) */
	int64		end;
	int64		start;			/* to be read: [start, stop) ... */
	int64		stop;
	int64		next;			/* ... and read: before this offset */
	int64		messages;		/* that were there */
	int64		bytes;
} Window;

typedef struct SampleRow
{
	HeapTuple	tuple;
	int			window;			/* in Sample.windows */
	int64		offset;
} SampleRow;

/* A topic being sampled. All but the tuples hangs on a context of its own. */
typedef struct Sample
{
	MemoryContext cxt;
	MemoryContext tuple_cxt;
	KafkaTable *table;
	KafkaConsumer *consumer;
	KafkaRange *ranges;			/* all that the table shows, ascending */
	int			nranges;
	double		offsets;		/* in these */

	Window	   *windows;		/* of the present reading, ascending */
	int			nwindows;
	double		scale;			/* offsets in all ranges to those in the windows */
	double		messages;		/* what the windows seen come to: in all ranges ... */
	double		bytes;			/* ... and their keys and values */
	double		mean;			/* messages that one of those seen stands for */
	int64		received;		/* by consumers that are closed */

	KafkaRow   *row;			/* NULL: rows are not wanted */
	TupleTableSlot *slot;
	SampleRow  *rows;
	int			nrows;
	int			max_rows;
	Size		held;			/* bytes of their tuples */
	double		share;			/* of the messages seen, how many are kept */
	int64		tried;			/* messages that were made rows ... */
	int64		undecodable;	/* ... and those that could not be */
} Sample;

/* ------------------------------------------------------------------------
 * What there is
 * ------------------------------------------------------------------------ */

static void
open_consumer(Sample *sample)
{
	MemoryContext old = MemoryContextSwitchTo(sample->cxt);
	const KafkaTable *table = sample->table;

	sample->consumer = KafkaConsumerOpen(table->server, table->topic, table->read_committed,
										 false);
	MemoryContextSwitchTo(old);
}

static void
close_consumer(Sample *sample)
{
	sample->received += KafkaConsumerCounters(sample->consumer)->messages;
	KafkaConsumerClose(sample->consumer);
}

/*
 * What the table shows at this moment, as its owner sees it, whoever runs ANALYZE. A tail is what
 * it would have to show before it waits.
 */
static Sample *
open_sample(Relation rel)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw analyze",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Sample	   *sample;
	KafkaTable *table;
	KafkaRequest request = {0};

	KafkaSettingCheckRead();
	MemoryContextSwitchTo(cxt);
	sample = palloc0(sizeof(Sample));
	sample->cxt = cxt;
	sample->tuple_cxt = old;
	sample->table = table = KafkaOptionGetTable(RelationGetRelid(rel), rel->rd_rel->relowner);
	KafkaOptionCheckTopic(table->server, table->topic);
	open_consumer(sample);

	request.topic = table->topic;
	request.start = table->start;
	request.end = table->end;
	request.end_given = table->end_given;
	request.max_timestamp_skew = -1;
	request.boxes = KafkaRangeAll();
	request.now = kafka_timestamptz_to_ms(GetCurrentStatementStartTimestamp());
	request.sampled = true;
	request.max_search = SEARCH_MESSAGES;
	sample->ranges = KafkaResolve(sample->consumer, KafkaConsumerSnapshot(sample->consumer),
								  &request, &sample->nranges);
	for (int i = 0; i < sample->nranges; i++)
		sample->offsets += (double) (sample->ranges[i].end - sample->ranges[i].start);
	MemoryContextSwitchTo(old);
	return sample;
}

static void
close_sample(Sample *sample)
{
	if (sample->slot)
		ExecDropSingleTupleTableSlot(sample->slot);
	MemoryContextDelete(sample->cxt);
}

/* ------------------------------------------------------------------------
 * Windows
 * ------------------------------------------------------------------------ */

/* A whole number from 0 to before n; n is at least 1. */
static int64
random_below(int64 n)
{
	return Min((int64) (pg_prng_double(&pg_global_prng_state) * (double) n), n - 1);
}

/*
 * Cut a range into windows. Each is read from a place in its first half that chance decides: were it
 * always the first offset, partitions of equal length would be looked at in the same offsets. But a
 * partition's first window is read from its beginning and the last one to its end, from which the
 * planner knows how far the table reaches.
 */
static void
cut_range(Sample *sample, const KafkaRange *range, int n, int64 wanted, int64 reach)
{
	int64		length = range->end - range->start;
	int64		each = length / n;
	int64		rest = length % n;	/* the first windows are longer by one */

	for (int i = 0; i < n; i++)
	{
		Window	   *window = &sample->windows[sample->nwindows++];
		int64		slack;

		window->partition = range->partition;
		window->first = range->start + i * each + Min(i, rest);
		window->end = window->first + each + (i < rest ? 1 : 0);
		slack = Max(window->end - window->first - Min(wanted, length), 0);
		if (n > 1 && i == 0)
			window->start = window->first;
		else if (n > 1 && i == n - 1)
			window->start = window->first + slack;
		else
			window->start = window->first + random_below(slack / 2 + 1);
		window->stop = Min(window->end - window->start, reach) + window->start;
		window->next = window->start;
		window->messages = window->bytes = 0;
	}
}

/*
 * Plan so many windows, or one for each range where these are more; of more than max_ranges some are
 * chosen by chance. Each is to give so many messages, from no more than "reach" offsets: those of
 * aborted messages are no messages, but are sent all the same.
 */
static void
plan_windows(Sample *sample, int nwindows, int max_ranges, int64 wanted, int64 reach)
{
	int			chosen = Min(sample->nranges, max_ranges);
	int			left = chosen;
	double		covered = 0;

	if (sample->windows)
		pfree(sample->windows);
	sample->windows = MemoryContextAlloc(sample->cxt, (nwindows + chosen) * sizeof(Window));
	sample->nwindows = 0;
	for (int i = 0; i < sample->nranges; i++)
	{
		const KafkaRange *range = &sample->ranges[i];
		double		length = (double) (range->end - range->start);
		int			n = (int) (nwindows * length / sample->offsets);

		/* Each of those that are left is as likely as any other. */
		if (random_below(sample->nranges - i) >= left)
			continue;
		left--;
		covered += length;
		cut_range(sample, range, Max((int) Min(n, length), 1), wanted, reach);
	}
	sample->scale = covered > 0 ? sample->offsets / covered : 1;
}

/* The window that a message is of. */
static Window *
find_window(Sample *sample, const KafkaMessage *message)
{
	int			lo = 0;
	int			hi = sample->nwindows;

	while (hi - lo > 1)
	{
		int			mid = lo + (hi - lo) / 2;
		const Window *window = &sample->windows[mid];

		if (window->partition < message->partition ||
			(window->partition == message->partition && window->first <= message->offset))
			lo = mid;
		else
			hi = mid;
	}
	return &sample->windows[lo];
}

/* Of the offsets of a window, how many there are for each that was looked at. */
static double
window_factor(const Window *window)
{
	return (double) (window->end - window->first) / Max(window->next - window->start, 1);
}

/* What the windows seen come to. */
static void
sum_up(Sample *sample)
{
	double		seen = 0;

	sample->messages = sample->bytes = 0;
	for (int i = 0; i < sample->nwindows; i++)
	{
		const Window *window = &sample->windows[i];

		seen += (double) window->messages;
		sample->messages += sample->scale * window_factor(window) * (double) window->messages;
		sample->bytes += sample->scale * window_factor(window) * (double) window->bytes;
	}
	sample->mean = seen > 0 ? sample->messages / seen : 1;
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* A KafkaHeadersFn. */
static int
consumer_headers(void *source, const KafkaMessage *message, KafkaHeader **headers)
{
	return KafkaConsumerHeaders((KafkaConsumer *) source, message, headers);
}

static void
drop_row(Sample *sample, const SampleRow *row)
{
	sample->held -= row->tuple->t_len;
	heap_freetuple(row->tuple);
}

/* Keep the rows that a number says to keep, between 0 for none and 1 for all. */
static void
thin_out(Sample *sample, double (*share) (const Sample *sample, const SampleRow *row))
{
	int			kept = 0;

	for (int i = 0; i < sample->nrows; i++)
	{
		SampleRow  *row = &sample->rows[i];

		if (pg_prng_double(&pg_global_prng_state) < share(sample, row))
			sample->rows[kept++] = *row;
		else
			drop_row(sample, row);
	}
	sample->nrows = kept;
}

static double
half(const Sample *sample, const SampleRow *row)
{
	return 0.5;
}

/* A message's row, or NULL where it cannot be decoded. */
static HeapTuple
make_tuple(Sample *sample, const KafkaMessage *message)
{
	MemoryContext old;
	HeapTuple	tuple;

	if (!KafkaRowStore(sample->row, message, consumer_headers, sample->consumer, sample->slot))
		return NULL;
	old = MemoryContextSwitchTo(sample->tuple_cxt);
	tuple = ExecCopySlotHeapTuple(sample->slot);
	MemoryContextSwitchTo(old);
	return tuple;
}

/* Take a message into the sample, or leave it out by chance. */
static void
take_row(Sample *sample, const KafkaMessage *message, int window)
{
	HeapTuple	tuple;
	SampleRow  *row;

	if (pg_prng_double(&pg_global_prng_state) >= sample->share)
		return;
	sample->tried++;
	tuple = make_tuple(sample, message);
	if (tuple == NULL)
	{
		sample->undecodable++;
		return;
	}
	while (sample->nrows == sample->max_rows ||
		   (sample->nrows > 0 && sample->held + tuple->t_len > MAX_BYTES))
	{
		sample->share /= 2;
		thin_out(sample, half);
	}
	row = &sample->rows[sample->nrows++];
	row->tuple = tuple;
	row->window = window;
	row->offset = message->offset;
	sample->held += tuple->t_len;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/*
 * Read the planned windows, of each so many messages and bytes at most; false where all together
 * were more than is allowed, and what has been read is nothing whole.
 */
static bool
read_windows(Sample *sample, int64 window_messages, int64 window_bytes, int64 max_messages,
			 int64 max_bytes)
{
	KafkaRange *ranges = palloc(Max(sample->nwindows, 1) * sizeof(KafkaRange));
	KafkaMessage message;
	int64		messages = 0;
	int64		bytes = 0;

	for (int i = 0; i < sample->nwindows; i++)
	{
		Window	   *window = &sample->windows[i];

		ranges[i].partition = window->partition;
		ranges[i].start = window->start;
		ranges[i].end = window->stop;
	}
	KafkaConsumerStart(sample->consumer, ranges, sample->nwindows, NULL);
	pfree(ranges);

	while (KafkaConsumerNext(sample->consumer, &message))
	{
		Window	   *window = find_window(sample, &message);
		int64		size = (int64) (message.keylen + message.valuelen);

		CHECK_FOR_INTERRUPTS();
		window->next = message.offset + 1;
		window->messages++;
		window->bytes += size;
		bytes += size;
		if (sample->row)
			take_row(sample, &message, window - sample->windows);
		if (++messages > max_messages || bytes > max_bytes)
			return false;
		if (window->messages >= window_messages || window->bytes >= window_bytes)
			KafkaConsumerSkip(sample->consumer, &message);
	}

	/* A window that has not given all that it was to give is at its end. */
	for (int i = 0; i < sample->nwindows; i++)
	{
		Window	   *window = &sample->windows[i];

		if (window->messages < window_messages && window->bytes < window_bytes)
			window->next = window->stop;
	}
	sum_up(sample);
	return true;
}

static double
ms_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/*
 * Read a few messages here and there, to learn how many there are and how large. Returns how many
 * milliseconds a window took.
 */
static double
probe(Sample *sample)
{
	KafkaRow   *row = sample->row;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	sample->row = NULL;
	plan_windows(sample, PROBE_WINDOWS, PROBE_PARTITIONS, PROBE_MESSAGES, PROBE_REACH);
	(void) read_windows(sample, PROBE_MESSAGES, PROBE_BYTES, PG_INT64_MAX, PG_INT64_MAX);
	sample->row = row;
	return ms_since(start) / sample->nwindows;
}

/* Before it is read once more. */
static void
forget_rows(Sample *sample)
{
	for (int i = 0; i < sample->nrows; i++)
		drop_row(sample, &sample->rows[i]);
	sample->nrows = 0;
	sample->share = 1;
	sample->tried = sample->undecodable = 0;
}

/*
 * Read all that there is, if that turns out not to be too much. The windows are the ranges then. A
 * consumer that has read much fetches much at a time, which does not suit what comes after.
 */
static bool
read_whole(Sample *sample, int64 max_messages)
{
	if (sample->nranges > MAX_PARTITIONS)
		return false;
	plan_windows(sample, 0, MAX_PARTITIONS, PG_INT64_MAX, PG_INT64_MAX);
	if (read_windows(sample, PG_INT64_MAX, PG_INT64_MAX, max_messages, MAX_BYTES))
		return true;
	forget_rows(sample);
	close_consumer(sample);
	open_consumer(sample);
	return false;
}

/* True where windows ended before they had given what they were to give, and could go on. */
static bool
windows_are_cut(const Sample *sample)
{
	for (int i = 0; i < sample->nwindows; i++)
	{
		const Window *window = &sample->windows[i];

		if (window->next == window->stop && window->stop < window->end)
			return true;
	}
	return false;
}

/*
 * Read some windows: as many as there is time for, and where messages are large no more than there
 * are to be messages. Where hardly any are found, windows reach further, if it is quick: offsets that
 * compaction left empty take no time, while aborted messages take as much as others.
 */
static void
read_some(Sample *sample, int targrows, double window_ms)
{
	double		size = sample->bytes / Max(sample->messages, 1);
	double		wanted = Min(targrows, Max(MAX_BYTES / Max(size, 1), 1));
	double		nwindows = Max(Min(WINDOWS_MS / Max(window_ms, 0.1), MAX_WINDOWS), MIN_WINDOWS);
	int64		window_messages;
	int64		reach;

	nwindows = ceil(Min(nwindows, wanted));
	window_messages = (int64) ceil(wanted * SPARE / nwindows);
	reach = window_messages * REACH;
	for (;;)
	{
		instr_time	start;

		INSTR_TIME_SET_CURRENT(start);
		plan_windows(sample, (int) nwindows, MAX_PARTITIONS, window_messages, reach);
		(void) read_windows(sample, window_messages, (int64) (MAX_BYTES / nwindows),
							PG_INT64_MAX, PG_INT64_MAX);
		if (sample->nrows >= wanted / ENOUGH || !windows_are_cut(sample) ||
			ms_since(start) * FARTHER > WINDOWS_MS)
			return;
		forget_rows(sample);
		reach *= FARTHER;
	}
}

/* Read what the sample is made of. */
static void
read_topic(Sample *sample, int targrows)
{
	int64		small = (int64) WHOLE_FACTOR * targrows;
	double		window_ms;

	if (sample->offsets == 0)
		return;
	if (sample->offsets <= targrows && read_whole(sample, small))
		return;
	window_ms = probe(sample);
	if (sample->offsets > targrows && sample->offsets <= (double) WHOLE_FACTOR * small &&
		sample->messages <= small && sample->bytes <= MAX_BYTES && read_whole(sample, small))
		return;
	read_some(sample, targrows, window_ms);
}

/* ------------------------------------------------------------------------
 * The sample
 * ------------------------------------------------------------------------ */

/*
 * How a row that stands for fewer messages than the mean is kept: the more seldom the fewer. Those
 * that stand for more count for too little; to keep no more of the others than fits would leave
 * nothing of a sample in which one window is unlike the rest.
 */
static double
by_weight(const Sample *sample, const SampleRow *row)
{
	return sample->scale * window_factor(&sample->windows[row->window]) / sample->mean;
}

static int
compare_rows(const void *a, const void *b)
{
	const SampleRow *x = (const SampleRow *) a;
	const SampleRow *y = (const SampleRow *) b;

	/* Windows ascend by partition and offset. */
	if (x->window != y->window)
		return x->window > y->window ? 1 : -1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/*
 * Hand over so many rows at most, in the order of the log, from which ANALYZE computes correlations.
 */
static int
give_rows(Sample *sample, HeapTuple *rows, int targrows)
{
	int			given = 0;

	thin_out(sample, by_weight);
	qsort(sample->rows, sample->nrows, sizeof(SampleRow), compare_rows);
	for (int i = 0; i < sample->nrows; i++)
	{
		if (random_below(sample->nrows - i) < targrows - given)
			rows[given++] = sample->rows[i].tuple;
		else
			heap_freetuple(sample->rows[i].tuple);
	}
	return given;
}

/* An AcquireSampleRowsFunc. The rows are allocated in the current context. */
static int
acquire_rows(Relation relation, int elevel, HeapTuple *rows, int targrows, double *totalrows,
			 double *totaldeadrows)
{
	Sample	   *sample = open_sample(relation);
	MemoryContext old = MemoryContextSwitchTo(sample->cxt);
	Bitmapset  *all = bms_make_singleton(0 - FirstLowInvalidHeapAttributeNumber);
	bool		skips = sample->table->on_error == KAFKA_ON_ERROR_SKIP;
	int			given;

	/* What stops a scan need not keep the planner from knowing the rest. */
	if (sample->table->on_error == KAFKA_ON_ERROR_STOP)
		sample->table->on_error = KAFKA_ON_ERROR_SKIP;
	sample->row = KafkaRowOpenRead(relation, sample->table, all);
	sample->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
	sample->max_rows = MAX_ROWS * targrows;
	sample->rows = palloc_extended((Size) sample->max_rows * sizeof(SampleRow), MCXT_ALLOC_HUGE);
	sample->share = 1;
	read_topic(sample, targrows);
	MemoryContextSwitchTo(old);

	given = give_rows(sample, rows, targrows);
	*totaldeadrows = 0;
	*totalrows = rint(sample->messages);
	if (skips && sample->undecodable > 0)
		*totalrows = rint(sample->messages * (sample->tried - sample->undecodable) /
						  sample->tried);
	close_consumer(sample);
	ereport(elevel,
			(errmsg("\"%s\": topic \"%s\" holds %.0f messages in %.0f offsets, " INT64_FORMAT
					" of them read in %d places; %d rows in sample, " INT64_FORMAT
					" messages could not be decoded",
					RelationGetRelationName(relation), sample->table->topic, sample->messages,
					sample->offsets, sample->received, sample->nwindows, given,
					sample->undecodable)));
	close_sample(sample);
	return given;
}

/*
 * PostgreSQL wants the size before it wants rows, to share the sample among the partitions of a
 * table. Here it is that of keys and values, which also tells the planner what a message weighs.
 */
bool
kafkaAnalyzeForeignTable(Relation relation, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	Sample	   *sample = open_sample(relation);
	MemoryContext old = MemoryContextSwitchTo(sample->cxt);
	double		pages = 0;

	if (sample->offsets > 0)
	{
		probe(sample);
		pages = ceil(Max(sample->bytes, sample->messages) / BLCKSZ);
	}
	MemoryContextSwitchTo(old);
	close_sample(sample);
	*func = acquire_rows;
	*totalpages = (BlockNumber) Min(pages, MaxBlockNumber);
	return true;
}
