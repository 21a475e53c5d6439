/*
 * parallel.c
 *		A scan's ranges, shared by the processes of a parallel query.
 *
 * All offsets of all ranges, one after another, have a *place*: a number from 0 on. What is still to
 * be read is a set of spans, intervals of places in one partition. At first there is a span for each
 * partition. A process owns the spans that it reads and takes their places in blocks from the front,
 * without having to start anew: librdkafka fetches on, and only the end of what is wanted moves. A
 * process that has nothing to read takes a span that nobody owns, or else the rear half of the
 * longest one. So long reads stay long, and all end together: what one is slow with others take
 * from it, down to STEAL_LEAST.
 *
 * A process that is late, or never comes, owns nothing. One that stops early leaves its spans to
 * nobody, which is right: a query stops reading only where it wants no more rows.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "parallel.h"

/*
 * In offsets. A start elsewhere takes 2 to 3 ms, in which some 10,000 messages are read, and as many
 * that the former owner has fetched ahead are then thrown away.
 */
#define STEAL_LEAST 20000
#define LARGEST_BLOCK 8192		/* smaller towards a span's end, where others may want some */
#define SMALLEST_BLOCK 1000

typedef struct SharedRange
{
	KafkaRange	range;
	int64		place;			/* of its first offset */
} SharedRange;

/* Places of one partition that are still to be taken. */
typedef struct Span
{
	int32		partition;
	bool		owned;
	int64		next;
	int64		end;			/* exclusive */
} Span;

/* What is to be read. Lives in the query's dsa_area, since a rescan may need more room. */
typedef struct SharedWork
{
	int			nranges;
	int			npartitions;	/* all partitions are below this */
	int			noriginal;		/* spans that there were at first; these are taken in order */
	int			ntaken;			/* of them */
	int			nspans;			/* that were ever used; one that is done may be used again */
	int			maxspans;
} SharedWork;

/* In the query's dynamic shared memory. */
typedef struct SharedScan
{
	LWLock		lock;			/* guards the work's numbers and spans, and "stopped" */
	Oid			userid;
	bool		stopped;
	int			nworkers;
	dsa_pointer work;
	KafkaCounters counters[FLEXIBLE_ARRAY_MEMBER];	/* each worker's, by its number */
} SharedScan;

/* A span that this process owns. */
typedef struct Holding
{
	int32		partition;
	int			span;
	int			range;			/* the one that "next" lies in, or an earlier one */
	int64		next;			/* places taken from the span, and not yet read */
	int64		end;
} Holding;

struct KafkaParallel
{
	MemoryContext cxt;
	MemoryContextCallback callback;
	SharedScan *shared;			/* NULL: not there yet, or not any more */
	dsm_segment *seg;			/* the leader's, while it is there */
	dsa_area   *area;
	SharedWork *work;
	SharedRange *ranges;
	Span	   *spans;
	Holding    *held;
	int			nheld;
	int			max_held;
	bool		finished;		/* there was nothing to take: it is not asked for again */
	KafkaCounters reported;		/* a worker's; included in the shared ones */
	KafkaCounters *counters;	/* the leader's: what workers reported to memory that is gone */
	int			ncounters;
};

Size
KafkaParallelSize(int nworkers)
{
	return add_size(offsetof(SharedScan, counters), mul_size(nworkers, sizeof(KafkaCounters)));
}

static void
add_counters(KafkaCounters *sum, const KafkaCounters *counters)
{
	sum->messages += counters->messages;
	sum->bytes += counters->bytes;
	sum->discarded += counters->discarded;
	sum->lost += counters->lost;
	sum->skipped += counters->skipped;
	sum->waited_us += counters->waited_us;
}

/* The shared memory goes: keep what workers reported, and touch nothing there any more. */
static void
on_detach(dsm_segment *seg, Datum arg)
{
	KafkaParallel *parallel = (KafkaParallel *) DatumGetPointer(arg);

	for (int i = 0; i < parallel->shared->nworkers; i++)
		add_counters(&parallel->counters[i], &parallel->shared->counters[i]);
	parallel->shared = NULL;
	parallel->seg = NULL;
}

/* The memory context's callback, where that goes first. */
static void
forget_segment(void *arg)
{
	KafkaParallel *parallel = (KafkaParallel *) arg;

	if (parallel->seg)
		cancel_on_dsm_detach(parallel->seg, on_detach, PointerGetDatum(parallel));
	parallel->seg = NULL;
}

KafkaParallel *
KafkaParallelCreate(void)
{
	KafkaParallel *parallel = palloc0(sizeof(KafkaParallel));

	parallel->cxt = CurrentMemoryContext;
	parallel->callback.func = forget_segment;
	parallel->callback.arg = parallel;
	MemoryContextRegisterResetCallback(parallel->cxt, &parallel->callback);
	return parallel;
}

void
KafkaParallelOpen(KafkaParallel *parallel, void *space, dsm_segment *seg, dsa_area *area,
				  int nworkers, Oid userid)
{
	SharedScan *shared = (SharedScan *) space;
	int			ncounters = Max(nworkers, parallel->ncounters);
	KafkaCounters *counters = MemoryContextAllocZero(parallel->cxt,
													 ncounters * sizeof(KafkaCounters));

	memset(shared, 0, KafkaParallelSize(nworkers));
	LWLockInitialize(&shared->lock, LWTRANCHE_PARALLEL_QUERY_DSA);
	shared->userid = userid;
	shared->nworkers = nworkers;
	shared->work = InvalidDsaPointer;

	if (parallel->counters)
	{
		memcpy(counters, parallel->counters, parallel->ncounters * sizeof(KafkaCounters));
		pfree(parallel->counters);
	}
	parallel->counters = counters;
	parallel->ncounters = ncounters;
	parallel->shared = shared;
	parallel->area = area;
	on_dsm_detach(seg, on_detach, PointerGetDatum(parallel));
	parallel->seg = seg;
}

KafkaParallel *
KafkaParallelAttach(void *space, dsa_area *area)
{
	KafkaParallel *parallel = palloc0(sizeof(KafkaParallel));

	parallel->cxt = CurrentMemoryContext;
	parallel->shared = (SharedScan *) space;
	parallel->area = area;
	return parallel;
}

Oid
KafkaParallelUser(const KafkaParallel *parallel)
{
	return parallel->shared->userid;
}

bool
KafkaParallelIsShared(const KafkaParallel *parallel)
{
	return parallel->shared != NULL;
}

/* Look at the work that is shared now. */
static void
find_work(KafkaParallel *parallel)
{
	char	   *work = dsa_get_address(parallel->area, parallel->shared->work);

	parallel->work = (SharedWork *) work;
	parallel->ranges = (SharedRange *) (work + MAXALIGN(sizeof(SharedWork)));
	parallel->spans = (Span *) (parallel->ranges + parallel->work->nranges);
}

void
KafkaParallelShare(KafkaParallel *parallel, const KafkaRange *ranges, int nranges)
{
	SharedScan *shared = parallel->shared;
	SharedWork	work = {0};
	Span	   *span = NULL;
	Size		size;
	int64		place = 0;

	for (int i = 0; i < nranges; i++)
	{
		if (i == 0 || ranges[i].partition != ranges[i - 1].partition)
			work.noriginal++;
	}
	work.nranges = nranges;
	work.npartitions = nranges > 0 ? ranges[nranges - 1].partition + 1 : 0;
	work.nspans = work.noriginal;
	/* Who takes from others owns nothing else, so each process adds one at most. */
	work.maxspans = work.noriginal + shared->nworkers + 1;
	size = add_size(MAXALIGN(sizeof(SharedWork)),
					add_size(mul_size(nranges, sizeof(SharedRange)),
							 mul_size(work.maxspans, sizeof(Span))));

	if (DsaPointerIsValid(shared->work))
		dsa_free(parallel->area, shared->work);
	shared->work = InvalidDsaPointer;
	shared->work = dsa_allocate_extended(parallel->area, size, DSA_ALLOC_HUGE);
	shared->stopped = false;
	memcpy(dsa_get_address(parallel->area, shared->work), &work, sizeof(work));
	find_work(parallel);
	for (int i = 0; i < nranges; i++)
	{
		Assert(ranges[i].end != KAFKA_NO_END);
		if (i == 0 || ranges[i].partition != ranges[i - 1].partition)
		{
			span = span ? span + 1 : parallel->spans;
			span->partition = ranges[i].partition;
			span->owned = false;
			span->next = place;
		}
		parallel->ranges[i].range = ranges[i];
		parallel->ranges[i].place = place;
		place += ranges[i].end - ranges[i].start;
		span->end = place;
	}
}

/* How many places to take from a span at once. */
static int64
block_size(const Span *span)
{
	int64		left = span->end - span->next;

	return Min(left, Min(Max(left / 4, SMALLEST_BLOCK), LARGEST_BLOCK));
}

/* Take more places from a span that this process owns; false where there are none. */
static bool
take_block(KafkaParallel *parallel, Holding *holding)
{
	SharedScan *shared = parallel->shared;
	Span	   *span = &parallel->spans[holding->span];

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	holding->next = span->next;
	if (!shared->stopped)
		span->next += block_size(span);
	holding->end = span->next;
	if (holding->next == holding->end)
		span->owned = false;
	LWLockRelease(&shared->lock);
	return holding->next < holding->end;
}

/*
 * Of the places that were taken the first ones that make a range. Where a holding has none left,
 * it is given up.
 */
static bool
next_piece(void *arg, int32 partition, KafkaRange *piece)
{
	KafkaParallel *parallel = (KafkaParallel *) arg;
	Holding    *holding = parallel->held;
	const SharedRange *range;
	int64		skip;

	if (parallel->shared == NULL)
		return false;
	while (holding < parallel->held + parallel->nheld && holding->partition != partition)
		holding++;
	if (holding == parallel->held + parallel->nheld)
		return false;
	if (holding->next == holding->end && !take_block(parallel, holding))
	{
		*holding = parallel->held[--parallel->nheld];
		return false;
	}

	range = &parallel->ranges[holding->range];
	while (holding->next - range->place >= range->range.end - range->range.start)
		range++;
	skip = holding->next - range->place;
	piece->partition = partition;
	piece->start = range->range.start + skip;
	piece->end = Min(range->range.end, piece->start + holding->end - holding->next);
	holding->next += piece->end - piece->start;
	holding->range = range - parallel->ranges;
	return true;
}

/* The span that has most left, and at least so much that it pays to take half of it; or -1. */
static int
longest_span(const KafkaParallel *parallel)
{
	int64		most = STEAL_LEAST - 1;
	int			longest = -1;

	for (int i = 0; i < parallel->work->nspans; i++)
	{
		const Span *span = &parallel->spans[i];

		if (span->end - span->next > most)
		{
			most = span->end - span->next;
			longest = i;
		}
	}
	return longest;
}

/* A span that is done and may be used anew, or one that never was; -1 where there is none. */
static int
free_span(KafkaParallel *parallel)
{
	for (int i = parallel->work->noriginal; i < parallel->work->nspans; i++)
	{
		const Span *span = &parallel->spans[i];

		if (!span->owned && span->next == span->end)
			return i;
	}
	return parallel->work->nspans < parallel->work->maxspans ? parallel->work->nspans++ : -1;
}

/* Come to own a span: one that nobody does, or half of another one. -1 where there is none. */
static int
take_span(KafkaParallel *parallel)
{
	SharedWork *work = parallel->work;
	int			taken = -1;
	int			longest;

	LWLockAcquire(&parallel->shared->lock, LW_EXCLUSIVE);
	if (parallel->shared->stopped)
		taken = -1;
	else if (work->ntaken < work->noriginal)
		taken = work->ntaken++;
	else if (parallel->nheld == 0 && (longest = longest_span(parallel)) >= 0 &&
			 (taken = free_span(parallel)) >= 0)
	{
		Span	   *from = &parallel->spans[longest];
		Span	   *span = &parallel->spans[taken];

		span->partition = from->partition;
		span->end = from->end;
		span->next = from->end = from->next + (from->end - from->next) / 2;
	}
	if (taken >= 0)
		parallel->spans[taken].owned = true;
	LWLockRelease(&parallel->shared->lock);
	return taken;
}

/* The last range that begins at a place or before it. */
static int
find_range(const KafkaParallel *parallel, int64 place)
{
	int			lo = 0;
	int			hi = parallel->work->nranges;

	while (hi - lo > 1)
	{
		int			mid = lo + (hi - lo) / 2;

		if (parallel->ranges[mid].place <= place)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* A process's first spans are its part of all of them; later ones it takes as others are done. */
static bool
next_partition(void *arg, KafkaRange *piece)
{
	KafkaParallel *parallel = (KafkaParallel *) arg;

	while (parallel->shared && !parallel->finished && parallel->nheld < parallel->max_held)
	{
		Holding    *holding = &parallel->held[parallel->nheld];

		holding->span = take_span(parallel);
		if (holding->span < 0)
		{
			parallel->finished = parallel->nheld == 0;
			return false;
		}
		parallel->nheld++;
		holding->partition = parallel->spans[holding->span].partition;
		holding->range = find_range(parallel, parallel->spans[holding->span].next);
		holding->next = holding->end = 0;
		/* Another process may have taken what there was, meanwhile. */
		if (next_piece(parallel, holding->partition, piece))
			return true;
	}
	return false;
}

void
KafkaParallelStart(KafkaParallel *parallel, KafkaConsumer *consumer)
{
	KafkaFeed	feed = {next_piece, next_partition, parallel};
	int			nprocesses = parallel->shared->nworkers + 1;

	find_work(parallel);
	if (parallel->held)
		pfree(parallel->held);
	parallel->nheld = 0;
	parallel->max_held = Max((parallel->work->noriginal + nprocesses - 1) / nprocesses, 1);
	parallel->held = MemoryContextAlloc(parallel->cxt, parallel->max_held * sizeof(Holding));
	parallel->finished = false;
	KafkaConsumerStartFed(consumer, parallel->work->npartitions, &feed);
}

void
KafkaParallelStop(KafkaParallel *parallel)
{
	if (parallel->shared == NULL)
		return;
	LWLockAcquire(&parallel->shared->lock, LW_EXCLUSIVE);
	parallel->shared->stopped = true;
	LWLockRelease(&parallel->shared->lock);
}

/* By workers only. The leader looks when they have ended, or at its own risk. */
void
KafkaParallelReport(KafkaParallel *parallel, const KafkaCounters *counters)
{
	KafkaCounters *shared = &parallel->shared->counters[ParallelWorkerNumber];

	shared->messages += counters->messages - parallel->reported.messages;
	shared->bytes += counters->bytes - parallel->reported.bytes;
	shared->discarded += counters->discarded - parallel->reported.discarded;
	shared->lost += counters->lost - parallel->reported.lost;
	shared->skipped += counters->skipped - parallel->reported.skipped;
	shared->waited_us += counters->waited_us - parallel->reported.waited_us;
	parallel->reported = *counters;
}

int
KafkaParallelWorkers(const KafkaParallel *parallel)
{
	return parallel->ncounters;
}

KafkaCounters
KafkaParallelCounters(const KafkaParallel *parallel, int worker)
{
	KafkaCounters sum = parallel->counters[worker];

	if (parallel->shared && worker < parallel->shared->nworkers)
		add_counters(&sum, &parallel->shared->counters[worker]);
	return sum;
}
