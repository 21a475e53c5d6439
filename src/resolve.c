/*
 * resolve.c
 *		From start_offset, end_offset and a condition to ranges of offsets.
 *
 * A range is the intersection, in one partition, of what the options allow with a box of the
 * condition. Offsets are clipped to the snapshot, so that nothing is asked for that is not there;
 * times are turned into offsets by the broker, all partitions of one time in one request; the last
 * N visible messages are found by reading backwards.
 *
 * Ranges may hold more than was asked for by a condition, which is checked again on the rows, but
 * never less. What the options ask for is checked by nobody else, and is exact.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "resolve.h"
#include "setting.h"

#define MAX_BOX_TIMES 64		/* distinct times of a condition that are looked up */
#define SEARCH_MEMORY 262144	/* offsets that the search for the last messages remembers at once */
#define SEARCH_MIN_BLOCK 256
#define PRESUMED_MESSAGES 250	/* what is read without a look at the topic first: about one fetch */
#define PRESUMED_PARTITIONS 16

/* What is known of one partition. */
typedef struct Bounds
{
	int32		partition;
	int64		low;			/* what the snapshot says ... */
	int64		high;
	int64		floor;			/* the condition has nothing before this offset */
	int64		last;			/* so many visible messages are to be found; 0: start is known */
	int64		start;			/* what the options say; where "last" is set, this or before */
	int64		end;			/* KAFKA_NO_END */
} Bounds;

/* A resolution under way. */
typedef struct Resolver
{
	KafkaConsumer *consumer;
	const KafkaRequest *request;
	List	   *boxes;			/* of KafkaBox *: without upper bounds that may not be used */
	Bounds	   *parts;			/* of partitions that the condition does not exclude */
	int			nparts;
	int64	   *times;			/* by which boxes are looked up, ascending */
	int			ntimes;
	KafkaTimeLookup *lookups;	/* ascending by partition and time */
	int			nlookups;
} Resolver;

/* A partition whose last messages are being counted, from its end backwards. */
typedef struct Search
{
	Bounds	   *part;
	int64		needed;			/* messages still to be found */
	int64		lo;				/* the block being read */
	int64		hi;
	int64		block;			/* its size, at most */
	int64	   *offsets;		/* of the messages found in it, ascending */
	int64		nfound;
} Search;

static int
compare_times(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static int
compare_lookups(const void *a, const void *b)
{
	const KafkaTimeLookup *x = (const KafkaTimeLookup *) a;
	const KafkaTimeLookup *y = (const KafkaTimeLookup *) b;

	if (x->partition != y->partition)
		return x->partition > y->partition ? 1 : -1;
	return (x->time > y->time) - (x->time < y->time);
}

static bool
box_covers(const KafkaBox *box, int32 partition)
{
	const KafkaInterval *interval = &box->dim[KAFKA_DIM_PARTITION];

	return partition >= interval->lo && partition < interval->hi;
}

/*
 * The condition, without upper bounds on the timestamp unless the table vouches for the order of
 * its timestamps: then all that comes after the first message that is too young by the slack is
 * too young.
 */
static List *
usable_boxes(const KafkaRequest *request)
{
	int64		slack = Max(request->max_timestamp_skew, 0);
	bool		usable = request->timestamp_ordered || request->max_timestamp_skew >= 0;
	List	   *boxes = NIL;
	ListCell   *lc;

	foreach(lc, request->boxes)
	{
		KafkaBox   *box = palloc(sizeof(KafkaBox));
		KafkaInterval *time = &box->dim[KAFKA_DIM_TIMESTAMP];

		*box = *(KafkaBox *) lfirst(lc);
		if (!usable || time->hi > PG_INT64_MAX - slack)
			time->hi = PG_INT64_MAX;
		else
			time->hi += slack;
		if (time->lo <= 0)
			time->lo = PG_INT64_MIN;	/* no message is older */
		boxes = lappend(boxes, box);
	}
	return KafkaRangeSimplify(boxes);
}

/* The partitions that are read at all. */
static void
find_parts(Resolver *resolver, const KafkaSnapshot *snapshot)
{
	resolver->parts = palloc0(Max(snapshot->npartitions, 1) * sizeof(Bounds));
	for (int i = 0; i < snapshot->npartitions; i++)
	{
		const KafkaPartition *seen = &snapshot->partitions[i];
		Bounds	   *part = &resolver->parts[resolver->nparts];
		ListCell   *lc;

		if (KafkaRangeExcludesPartition(resolver->boxes, seen->partition))
			continue;
		part->partition = seen->partition;
		part->low = seen->low;
		part->high = seen->end;
		part->floor = PG_INT64_MAX;
		foreach(lc, resolver->boxes)
		{
			const KafkaBox *box = (const KafkaBox *) lfirst(lc);

			if (box_covers(box, part->partition))
				part->floor = Min(part->floor, box->dim[KAFKA_DIM_OFFSET].lo);
		}
		part->floor = Max(part->floor, part->low);
		resolver->nparts++;
	}
}

/*
 * The times that boxes are looked up by. Each takes a request, so where a condition has very many
 * (a long list of instants) some of them stand for their neighbours: lower bounds are rounded down
 * and upper bounds up, and the first and the last time are always there.
 */
static void
choose_box_times(Resolver *resolver)
{
	int64	   *all = palloc((2 * list_length(resolver->boxes) + 1) * sizeof(int64));
	int			nall = 0;
	int			ndistinct = 0;
	ListCell   *lc;

	foreach(lc, resolver->boxes)
	{
		const KafkaInterval *time = &((const KafkaBox *) lfirst(lc))->dim[KAFKA_DIM_TIMESTAMP];

		if (time->lo != PG_INT64_MIN)
			all[nall++] = time->lo;
		if (time->hi != PG_INT64_MAX)
			all[nall++] = time->hi;
	}
	qsort(all, nall, sizeof(int64), compare_times);
	for (int i = 0; i < nall; i++)
	{
		if (i == 0 || all[i] != all[ndistinct - 1])
			all[ndistinct++] = all[i];
	}
	resolver->times = all;
	resolver->ntimes = Min(ndistinct, MAX_BOX_TIMES);
	if (ndistinct > MAX_BOX_TIMES)
	{
		for (int i = 0; i < MAX_BOX_TIMES; i++)
			all[i] = all[(int64) i * (ndistinct - 1) / (MAX_BOX_TIMES - 1)];
	}
}

/* The place in "times" of the last one that is not after a lower bound. */
static int
round_down(const Resolver *resolver, int64 time)
{
	int			lo = 0;
	int			hi = resolver->ntimes;

	while (hi - lo > 1)
	{
		int			mid = lo + (hi - lo) / 2;

		if (resolver->times[mid] <= time)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* The place in "times" of the first one that is not before an upper bound. */
static int
round_up(const Resolver *resolver, int64 time)
{
	int			place = round_down(resolver, time);

	return resolver->times[place] < time ? place + 1 : place;
}

/* True where an option's value is a time; which one, as a lookup wants it. */
static bool
offset_time(const KafkaRequest *request, KafkaOffset offset, int64 *time)
{
	if (offset.kind == KAFKA_OFFSET_TIME)
		*time = Max(offset.value, 0);
	else if (offset.kind == KAFKA_OFFSET_AGE)
		*time = Max(request->now - offset.value, 0);
	else
		return false;
	return true;
}

static void
add_lookup(Resolver *resolver, int32 partition, int64 time)
{
	KafkaTimeLookup *lookup = &resolver->lookups[resolver->nlookups++];

	lookup->partition = partition;
	lookup->time = Max(time, 0);
	lookup->offset = KAFKA_NO_END;
}

/* Ask the broker for all times that options and condition name, each once in each partition. */
static void
look_times_up(Resolver *resolver)
{
	const KafkaRequest *request = resolver->request;
	bool	   *asked;
	int			n = 0;

	choose_box_times(resolver);
	asked = palloc(Max(resolver->ntimes, 1) * sizeof(bool));
	resolver->lookups = palloc_extended((Size) (resolver->nparts + 1) * (resolver->ntimes + 2) *
										sizeof(KafkaTimeLookup), MCXT_ALLOC_HUGE);
	for (int i = 0; i < resolver->nparts; i++)
	{
		Bounds	   *part = &resolver->parts[i];
		int64		time;
		ListCell   *lc;

		if (offset_time(request, KafkaOffsetFor(request->start, part->partition), &time))
			add_lookup(resolver, part->partition, time);
		if ((!request->tail || request->end_given) &&
			offset_time(request, KafkaOffsetFor(request->end, part->partition), &time))
			add_lookup(resolver, part->partition, time);
		if (resolver->ntimes == 0)
			continue;
		memset(asked, false, resolver->ntimes * sizeof(bool));
		foreach(lc, resolver->boxes)
		{
			const KafkaBox *box = (const KafkaBox *) lfirst(lc);
			const KafkaInterval *bound = &box->dim[KAFKA_DIM_TIMESTAMP];

			if (!box_covers(box, part->partition))
				continue;
			if (bound->lo != PG_INT64_MIN)
				asked[round_down(resolver, bound->lo)] = true;
			if (bound->hi != PG_INT64_MAX)
				asked[round_up(resolver, bound->hi)] = true;
		}
		for (int t = 0; t < resolver->ntimes; t++)
		{
			if (asked[t])
				add_lookup(resolver, part->partition, resolver->times[t]);
		}
	}

	qsort(resolver->lookups, resolver->nlookups, sizeof(KafkaTimeLookup), compare_lookups);
	for (int i = 0; i < resolver->nlookups; i++)
	{
		if (n == 0 || compare_lookups(&resolver->lookups[i], &resolver->lookups[n - 1]) != 0)
			resolver->lookups[n++] = resolver->lookups[i];
	}
	resolver->nlookups = n;
	if (n > 0)
		KafkaConsumerOffsetsForTimes(resolver->consumer, resolver->lookups, n);
}

/* The first offset that is not older than a time; KAFKA_NO_END where there is none. */
static int64
offset_at(const Resolver *resolver, int32 partition, int64 time)
{
	KafkaTimeLookup key = {partition, Max(time, 0), 0};
	const KafkaTimeLookup *found = bsearch(&key, resolver->lookups, resolver->nlookups,
										   sizeof(KafkaTimeLookup), compare_lookups);

	if (found == NULL)
		elog(ERROR, "time " INT64_FORMAT " was not looked up", time);
	return found->offset;
}

/*
 * Where the options let a partition start. A time that no message has reached starts at the end:
 * there is nothing to read, and a tail has only younger messages to wait for.
 */
static void
apply_start(const Resolver *resolver, Bounds *part)
{
	KafkaOffset offset = KafkaOffsetFor(resolver->request->start, part->partition);
	int64		time;

	part->start = part->low;
	switch (offset.kind)
	{
		case KAFKA_OFFSET_EARLIEST:
			break;

		case KAFKA_OFFSET_NEWEST:
		case KAFKA_OFFSET_SNAPSHOT:
			part->start = part->high;
			break;

		case KAFKA_OFFSET_AT:
			part->start = Max(offset.value, part->low);
			break;

		case KAFKA_OFFSET_LAST:
			if (offset.value >= part->high - part->floor)
				part->start = part->floor;	/* all that there may be, without counting */
			else
			{
				part->last = Max(offset.value, 0);
				part->start = part->high - part->last;
			}
			break;

		case KAFKA_OFFSET_TIME:
		case KAFKA_OFFSET_AGE:
			(void) offset_time(resolver->request, offset, &time);
			part->start = offset_at(resolver, part->partition, time);
			if (part->start == KAFKA_NO_END)
				part->start = part->high;
			part->start = Max(part->start, part->low);
			break;
	}
}

/* Where the options let a partition end: at the snapshot's end at the latest, but for a tail. */
static void
apply_end(const Resolver *resolver, Bounds *part)
{
	const KafkaRequest *request = resolver->request;
	KafkaOffset offset;
	int64		time;

	if (request->tail && !request->end_given)
	{
		part->end = KAFKA_NO_END;
		return;
	}
	offset = KafkaOffsetFor(request->end, part->partition);
	part->end = part->high;
	switch (offset.kind)
	{
		case KAFKA_OFFSET_NEWEST:
		case KAFKA_OFFSET_SNAPSHOT:
		case KAFKA_OFFSET_LAST: /* the parser refuses it */
			break;

		case KAFKA_OFFSET_EARLIEST:
			part->end = part->low;
			break;

		case KAFKA_OFFSET_AT:
			part->end = offset.value;
			break;

		case KAFKA_OFFSET_TIME:
		case KAFKA_OFFSET_AGE:
			(void) offset_time(request, offset, &time);
			part->end = offset_at(resolver, part->partition, time);
			break;
	}
	if (!request->tail)
		part->end = Min(part->end, part->high);
}

/* The range that a box comes to in a partition; it may be empty. */
static KafkaRange
make_range(const Resolver *resolver, const Bounds *part, const KafkaBox *box)
{
	const KafkaInterval *offset = &box->dim[KAFKA_DIM_OFFSET];
	const KafkaInterval *time = &box->dim[KAFKA_DIM_TIMESTAMP];
	KafkaRange	range;

	range.partition = part->partition;
	range.start = Max(part->start, offset->lo);
	range.end = Min(part->end, offset->hi);
	if (time->lo != PG_INT64_MIN)
	{
		int64		first = offset_at(resolver, part->partition,
									  resolver->times[round_down(resolver, time->lo)]);

		range.start = Max(range.start, first == KAFKA_NO_END ? part->high : first);
	}
	if (time->hi != PG_INT64_MAX)
		range.end = Min(range.end, offset_at(resolver, part->partition,
											 resolver->times[round_up(resolver, time->hi)]));
	return range;
}

/* All ranges, normalized. */
static KafkaRange *
make_ranges(const Resolver *resolver, int *nranges)
{
	int			size = 64;
	int			n = 0;
	KafkaRange *ranges = palloc(size * sizeof(KafkaRange));

	for (int i = 0; i < resolver->nparts; i++)
	{
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, resolver->boxes)
		{
			const KafkaBox *box = (const KafkaBox *) lfirst(lc);
			KafkaRange	range;

			if (!box_covers(box, resolver->parts[i].partition))
				continue;
			range = make_range(resolver, &resolver->parts[i], box);
			if (range.start >= range.end)
				continue;
			if (n == size)
			{
				size *= 2;
				ranges = repalloc_huge(ranges, (Size) size * sizeof(KafkaRange));
			}
			ranges[n++] = range;
		}
	}
	*nranges = KafkaRangeNormalize(ranges, n);
	return ranges;
}

/*
 * ERROR where more would be read than is allowed. Offsets are counted, which are messages but for
 * transaction markers and gaps; what a tail waits for is not.
 */
static void
check_limit(const Resolver *resolver, const KafkaRange *ranges, int nranges)
{
	int64		total = 0;
	int			p = 0;

	if (kafka_max_scan_messages <= 0)
		return;
	for (int i = 0; i < nranges; i++)
	{
		while (resolver->parts[p].partition != ranges[i].partition)
			p++;
		total += Max(Min(ranges[i].end, resolver->parts[p].high) - ranges[i].start, 0);
	}
	if (resolver->request->max_messages > 0)
		total = Min(total, resolver->request->max_messages);
	if (total > kafka_max_scan_messages)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 resolver->request->topic
				 ? errmsg("a scan of topic \"%s\" would read " INT64_FORMAT " messages",
						  resolver->request->topic, total)
				 : errmsg("a scan would read " INT64_FORMAT " messages", total),
				 errdetail("The setting kafka_fdw.max_scan_messages allows %.0f.",
						   kafka_max_scan_messages),
				 errhint("Narrow the scan by conditions on partition, offset or timestamp, or by "
						 "start_offset and end_offset.")));
}

/* Read the present blocks of all searches, and note the offsets of the messages in them. */
static void
read_blocks(KafkaConsumer *consumer, Search *searches, int nsearches)
{
	KafkaRange *ranges = palloc(nsearches * sizeof(KafkaRange));
	KafkaMessage message;
	int			current = 0;

	for (int i = 0; i < nsearches; i++)
	{
		Search	   *search = &searches[i];

		search->lo = Max(search->part->floor, search->hi - search->block);
		search->offsets = palloc((search->hi - search->lo) * sizeof(int64));
		search->nfound = 0;
		ranges[i].partition = search->part->partition;
		ranges[i].start = search->lo;
		ranges[i].end = search->hi;
	}
	KafkaConsumerStart(consumer, ranges, nsearches, NULL);
	while (KafkaConsumerNext(consumer, &message))
	{
		Search	   *search;

		/* Messages of one partition come in runs. */
		if (message.partition != searches[current].part->partition)
		{
			int			lo = 0;
			int			hi = nsearches - 1;

			while (lo < hi)
			{
				int			mid = lo + (hi - lo) / 2;

				if (searches[mid].part->partition < message.partition)
					lo = mid + 1;
				else
					hi = mid;
			}
			current = lo;
		}
		search = &searches[current];
		Assert(search->part->partition == message.partition);
		search->offsets[search->nfound++] = message.offset;
	}
	pfree(ranges);
}

/*
 * Find where the last messages of each partition start that are asked for. Offsets do not tell:
 * transaction markers, aborted messages and compaction's gaps take some. So blocks are read from
 * the end backwards and messages counted, the blocks of all partitions of a round together; they
 * grow from what would do if there were no gaps. Takes the ranges of the least that is read, and
 * returns the true ones.
 */
static KafkaRange *
find_last(Resolver *resolver, KafkaRange *ranges, int *nranges)
{
	Search	   *searches = palloc0(Max(resolver->nparts, 1) * sizeof(Search));
	int			nsearches = 0;

	for (int i = 0; i < resolver->nparts; i++)
	{
		if (resolver->parts[i].last == 0)
			continue;
		searches[nsearches].part = &resolver->parts[i];
		searches[nsearches].needed = resolver->parts[i].last;
		searches[nsearches++].hi = resolver->parts[i].high;
	}

	while (nsearches > 0)
	{
		int64		max_block = Max(SEARCH_MEMORY / nsearches, SEARCH_MIN_BLOCK);
		int			left = 0;

		for (int i = 0; i < nsearches; i++)
		{
			Search	   *search = &searches[i];
			int64		likely = Min(search->needed, max_block);

			/* A little more than needed, which a few markers do not make two rounds of. */
			likely += likely / 8 + 4;
			search->block = Min(Max(likely, 2 * search->block), max_block);
		}
		read_blocks(resolver->consumer, searches, nsearches);
		for (int i = 0; i < nsearches; i++)
		{
			Search	   *search = &searches[i];
			bool		enough = search->nfound >= search->needed;

			search->part->start = enough
				? search->offsets[search->nfound - search->needed] : search->lo;
			pfree(search->offsets);
			if (enough || search->lo == search->part->floor)
				continue;
			search->needed -= search->nfound;
			search->hi = search->lo;
			searches[left++] = *search;
		}
		nsearches = left;

		/* It may lead further back than a scan is allowed to go. */
		pfree(ranges);
		ranges = make_ranges(resolver, nranges);
		check_limit(resolver, ranges, *nranges);
	}
	pfree(searches);
	return ranges;
}

KafkaRange *
KafkaResolve(KafkaConsumer *consumer, const KafkaSnapshot *snapshot, const KafkaRequest *request,
			 int *nranges)
{
	Resolver	resolver = {0};
	KafkaRange *ranges;
	bool		searching = false;

	resolver.consumer = consumer;
	resolver.request = request;
	resolver.boxes = usable_boxes(request);
	find_parts(&resolver, snapshot);
	look_times_up(&resolver);
	for (int i = 0; i < resolver.nparts; i++)
	{
		apply_start(&resolver, &resolver.parts[i]);
		apply_end(&resolver, &resolver.parts[i]);
		searching |= resolver.parts[i].last > 0;
	}

	/* The last N messages take N offsets at least: too much is refused before the search. */
	ranges = make_ranges(&resolver, nranges);
	check_limit(&resolver, ranges, *nranges);
	return searching ? find_last(&resolver, ranges, nranges) : ranges;
}

/*
 * The range that a box names in a partition, by itself and with the options; false where it depends
 * on what the topic holds. Without a lower bound it begins at 0, where most topics do.
 */
static bool
presume_range(const KafkaRequest *request, const KafkaBox *box, int32 partition,
			  KafkaRange *range)
{
	KafkaOffset start = KafkaOffsetFor(request->start, partition);
	KafkaOffset end = KafkaOffsetFor(request->end, partition);

	range->partition = partition;
	range->start = Max(box->dim[KAFKA_DIM_OFFSET].lo, 0);
	range->end = box->dim[KAFKA_DIM_OFFSET].hi;
	if (start.kind == KAFKA_OFFSET_AT)
		range->start = Max(range->start, start.value);
	else if (start.kind != KAFKA_OFFSET_EARLIEST)
		return false;
	if (end.kind == KAFKA_OFFSET_AT)
		range->end = Min(range->end, end.value);
	else if (end.kind != KAFKA_OFFSET_SNAPSHOT && end.kind != KAFKA_OFFSET_NEWEST)
		return false;
	return range->end != PG_INT64_MAX;
}

KafkaRange *
KafkaPresume(const KafkaConsumer *consumer, const KafkaRequest *request, int *nranges)
{
	KafkaRange *ranges = palloc(PRESUMED_PARTITIONS * sizeof(KafkaRange));
	int64		total = 0;
	int			n = 0;
	ListCell   *lc;

	if (request->tail)
		return NULL;
	foreach(lc, request->boxes)
	{
		const KafkaBox *box = (const KafkaBox *) lfirst(lc);
		const KafkaInterval *partitions = &box->dim[KAFKA_DIM_PARTITION];
		const KafkaInterval *time = &box->dim[KAFKA_DIM_TIMESTAMP];

		if (time->lo != PG_INT64_MIN || time->hi != PG_INT64_MAX || partitions->lo < 0 ||
			partitions->hi > PG_INT32_MAX || partitions->hi - partitions->lo > PRESUMED_PARTITIONS)
			return NULL;
		for (int32 p = (int32) partitions->lo; p < partitions->hi; p++)
		{
			if (n == PRESUMED_PARTITIONS || !KafkaConsumerKnows(consumer, p) ||
				!presume_range(request, box, p, &ranges[n]))
				return NULL;
			if (ranges[n].start >= ranges[n].end)
				continue;
			total += ranges[n].end - ranges[n].start;
			n++;
			if (total > PRESUMED_MESSAGES ||
				(kafka_max_scan_messages > 0 && total > kafka_max_scan_messages))
				return NULL;
		}
	}
	n = KafkaRangeNormalize(ranges, n);
	for (int i = 1; i < n; i++)
	{
		/* Far apart they are no single fetch. */
		if (ranges[i].partition == ranges[i - 1].partition &&
			ranges[i].start - ranges[i - 1].end > PRESUMED_MESSAGES)
			return NULL;
	}
	*nranges = n;
	return n > 0 ? ranges : NULL;
}
