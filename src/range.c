/*
 * range.c
 *		The algebra of boxes: and, or, and their normal form.
 *
 * What comes out of "and", "or" and "simplify" is sorted by partition, then offset, then timestamp,
 * holds at most KAFKA_MAX_BOXES, and boxes that could be one by joining along a dimension are one.
 *
 * The cost is bounded whatever the condition is: IN lists of a hundred thousand offsets are sorted,
 * not compared pair by pair, and where a product or a union becomes too large, neighbours are
 * replaced by the smallest box around both. That reads more than was asked for, and what is too
 * much is filtered out on the rows.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "range.h"

#define MAX_PRODUCT (5 * KAFKA_MAX_BOXES)	/* pairs of boxes that an "and" looks at */
#define MAX_CONTAINMENT 256		/* boxes that are compared pair by pair */
#define MAX_ROUNDS 4			/* of joining along each dimension; two nearly always do */

/* The order of sorting: the last dimension is the one along which neighbours may be joined. */
typedef struct BoxOrder
{
	KafkaDimension dim[KAFKA_DIMENSIONS];
} BoxOrder;

static const BoxOrder box_orders[] = {
	{{KAFKA_DIM_PARTITION, KAFKA_DIM_TIMESTAMP, KAFKA_DIM_OFFSET}},
	{{KAFKA_DIM_PARTITION, KAFKA_DIM_OFFSET, KAFKA_DIM_TIMESTAMP}},
	{{KAFKA_DIM_TIMESTAMP, KAFKA_DIM_OFFSET, KAFKA_DIM_PARTITION}}
};

/* The order of a finished list. */
static const BoxOrder final_order = {
	{KAFKA_DIM_PARTITION, KAFKA_DIM_OFFSET, KAFKA_DIM_TIMESTAMP}
};

static bool
interval_is_empty(const KafkaInterval *interval)
{
	return interval->lo >= interval->hi;
}

static bool
box_is_empty(const KafkaBox *box)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		if (interval_is_empty(&box->dim[d]))
			return true;
	}
	return false;
}

static bool
box_is_universal(const KafkaBox *box)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		if (box->dim[d].lo != PG_INT64_MIN || box->dim[d].hi != PG_INT64_MAX)
			return false;
	}
	return true;
}

/* True where everything in b is in a. */
static bool
box_contains(const KafkaBox *a, const KafkaBox *b)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		if (b->dim[d].lo < a->dim[d].lo || b->dim[d].hi > a->dim[d].hi)
			return false;
	}
	return true;
}

static void
box_intersect(KafkaBox *result, const KafkaBox *a, const KafkaBox *b)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		result->dim[d].lo = Max(a->dim[d].lo, b->dim[d].lo);
		result->dim[d].hi = Min(a->dim[d].hi, b->dim[d].hi);
	}
}

/* The smallest box around both. */
static void
box_extend(KafkaBox *box, const KafkaBox *other)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		box->dim[d].lo = Min(box->dim[d].lo, other->dim[d].lo);
		box->dim[d].hi = Max(box->dim[d].hi, other->dim[d].hi);
	}
}

static void
box_init(KafkaBox *box)
{
	for (int d = 0; d < KAFKA_DIMENSIONS; d++)
	{
		box->dim[d].lo = PG_INT64_MIN;
		box->dim[d].hi = PG_INT64_MAX;
	}
}

static int
compare_int64(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

static int
compare_boxes(const void *a, const void *b, void *arg)
{
	const KafkaBox *x = (const KafkaBox *) a;
	const KafkaBox *y = (const KafkaBox *) b;
	const BoxOrder *order = (const BoxOrder *) arg;

	for (int i = 0; i < KAFKA_DIMENSIONS; i++)
	{
		KafkaDimension d = order->dim[i];
		int			c = compare_int64(x->dim[d].lo, y->dim[d].lo);

		if (c == 0)
			c = compare_int64(x->dim[d].hi, y->dim[d].hi);
		if (c != 0)
			return c;
	}
	return 0;
}

/* The list's boxes as an array with nothing empty in it; at least one is allocated. */
static KafkaBox *
list_to_array(List *boxes, int *nboxes)
{
	KafkaBox   *array = palloc_extended(Max(list_length(boxes), 1) * sizeof(KafkaBox),
										MCXT_ALLOC_HUGE);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, boxes)
	{
		const KafkaBox *box = (const KafkaBox *) lfirst(lc);

		if (!box_is_empty(box))
			array[n++] = *box;
	}
	*nboxes = n;
	return array;
}

static List *
array_to_list(KafkaBox *array, int nboxes)
{
	List	   *boxes = NIL;

	for (int i = 0; i < nboxes; i++)
		boxes = lappend(boxes, &array[i]);
	return boxes;
}

/* Join what touches or overlaps along the order's last dimension and agrees in the others. */
static int
join_along(KafkaBox *array, int nboxes, const BoxOrder *order)
{
	KafkaDimension last = order->dim[KAFKA_DIMENSIONS - 1];
	int			n = 0;

	qsort_arg(array, nboxes, sizeof(KafkaBox), compare_boxes, (void *) order);
	for (int i = 1; i < nboxes; i++)
	{
		KafkaBox   *box = &array[n];
		bool		agree = array[i].dim[last].lo <= box->dim[last].hi;

		for (int j = 0; agree && j < KAFKA_DIMENSIONS - 1; j++)
		{
			KafkaDimension d = order->dim[j];

			agree = array[i].dim[d].lo == box->dim[d].lo && array[i].dim[d].hi == box->dim[d].hi;
		}
		if (agree)
			box->dim[last].hi = Max(box->dim[last].hi, array[i].dim[last].hi);
		else
			array[++n] = array[i];
	}
	return n + 1;
}

/* Leave out boxes that lie in another one. */
static int
drop_contained(KafkaBox *array, int nboxes)
{
	int			n = 0;

	for (int i = 0; i < nboxes; i++)
	{
		bool		contained = false;

		for (int j = 0; j < nboxes && !contained; j++)
			contained = j != i && box_contains(&array[j], &array[i]) &&
				(j < i || !box_contains(&array[i], &array[j]));
		if (!contained)
			array[n++] = array[i];
	}
	return n;
}

/* How much a box around two neighbours would hold beside them, to choose whom to join. */
static uint64
join_waste(const KafkaBox *a, const KafkaBox *b)
{
	const KafkaInterval *x = &a->dim[KAFKA_DIM_OFFSET];
	const KafkaInterval *y = &b->dim[KAFKA_DIM_OFFSET];

	if (a->dim[KAFKA_DIM_PARTITION].lo != b->dim[KAFKA_DIM_PARTITION].lo ||
		a->dim[KAFKA_DIM_PARTITION].hi != b->dim[KAFKA_DIM_PARTITION].hi)
		return PG_UINT64_MAX;
	return y->lo > x->hi ? (uint64) y->lo - (uint64) x->hi : 0;
}

static int
compare_waste(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* Join neighbours, those first that waste least, until no more than "target" boxes are left. */
static int
coarsen(KafkaBox *array, int nboxes, int target)
{
	uint64	   *waste;
	uint64		limit;
	int			below = 0;
	int			equal;
	int			n = 0;

	if (nboxes <= target)
		return nboxes;
	qsort_arg(array, nboxes, sizeof(KafkaBox), compare_boxes, (void *) &final_order);
	waste = palloc_extended((nboxes - 1) * sizeof(uint64), MCXT_ALLOC_HUGE);
	for (int i = 1; i < nboxes; i++)
		waste[i - 1] = join_waste(&array[i - 1], &array[i]);
	qsort(waste, nboxes - 1, sizeof(uint64), compare_waste);

	/* All below the limit are joined, and of those that equal it as many as are still needed. */
	limit = waste[nboxes - target - 1];
	while (waste[below] < limit)
		below++;
	equal = nboxes - target - below;
	pfree(waste);

	for (int i = 1; i < nboxes; i++)
	{
		/* Not the box joined so far: its neighbour alone was measured. */
		uint64		w = join_waste(&array[i - 1], &array[i]);

		if (w < limit || (w == limit && equal-- > 0))
			box_extend(&array[n], &array[i]);
		else
			array[++n] = array[i];
	}
	return n + 1;
}

/* The normal form of an array, in place; the number left. */
static int
simplify(KafkaBox *array, int nboxes)
{
	int			before = nboxes + 1;

	if (nboxes < 2)
		return nboxes;
	for (int round = 0; round < MAX_ROUNDS && nboxes < before; round++)
	{
		before = nboxes;
		for (int i = 0; i < lengthof(box_orders) && nboxes > 1; i++)
			nboxes = join_along(array, nboxes, &box_orders[i]);
		CHECK_FOR_INTERRUPTS();
	}
	if (nboxes > 1 && nboxes <= MAX_CONTAINMENT)
		nboxes = drop_contained(array, nboxes);
	nboxes = coarsen(array, nboxes, KAFKA_MAX_BOXES);
	qsort_arg(array, nboxes, sizeof(KafkaBox), compare_boxes, (void *) &final_order);
	return nboxes;
}

List *
KafkaRangeAll(void)
{
	KafkaBox   *box = palloc(sizeof(KafkaBox));

	box_init(box);
	return list_make1(box);
}

bool
KafkaRangeIsAll(List *boxes)
{
	return list_length(boxes) == 1 && box_is_universal((const KafkaBox *) linitial(boxes));
}

List *
KafkaRangeOne(KafkaDimension dim, int64 lo, int64 hi)
{
	KafkaBox   *box;

	if (lo >= hi)
		return NIL;
	box = palloc(sizeof(KafkaBox));
	box_init(box);
	box->dim[dim].lo = lo;
	box->dim[dim].hi = hi;
	return list_make1(box);
}

List *
KafkaRangeIntervals(KafkaDimension dim, const KafkaInterval *intervals, int nintervals)
{
	KafkaBox   *array = palloc_extended(Max(nintervals, 1) * sizeof(KafkaBox), MCXT_ALLOC_HUGE);
	int			n = 0;

	for (int i = 0; i < nintervals; i++)
	{
		if (interval_is_empty(&intervals[i]))
			continue;
		box_init(&array[n]);
		array[n++].dim[dim] = intervals[i];
	}
	return array_to_list(array, simplify(array, n));
}

List *
KafkaRangeAnd(List *a, List *b)
{
	KafkaBox   *x;
	KafkaBox   *y;
	KafkaBox   *product;
	int			nx;
	int			ny;
	int			n = 0;

	if (a == NIL || b == NIL)
		return NIL;
	if (KafkaRangeIsAll(a))
		return b;
	if (KafkaRangeIsAll(b))
		return a;

	x = list_to_array(a, &nx);
	y = list_to_array(b, &ny);
	if ((int64) nx * ny > MAX_PRODUCT)
	{
		if (nx > ny)
			nx = coarsen(x, nx, Max(MAX_PRODUCT / ny, 1));
		else
			ny = coarsen(y, ny, Max(MAX_PRODUCT / nx, 1));
	}
	product = palloc_extended(Max((Size) nx * ny, 1) * sizeof(KafkaBox), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nx; i++)
	{
		for (int j = 0; j < ny; j++)
		{
			box_intersect(&product[n], &x[i], &y[j]);
			if (!box_is_empty(&product[n]))
				n++;
		}
	}
	pfree(x);
	pfree(y);
	return array_to_list(product, simplify(product, n));
}

List *
KafkaRangeOr(List *a, List *b)
{
	return KafkaRangeSimplify(list_concat_copy(a, b));
}

List *
KafkaRangeSimplify(List *boxes)
{
	int			nboxes;
	KafkaBox   *array = list_to_array(boxes, &nboxes);

	return array_to_list(array, simplify(array, nboxes));
}

List *
KafkaRangeCopy(List *boxes)
{
	int			nboxes;
	KafkaBox   *array = list_to_array(boxes, &nboxes);

	return array_to_list(array, nboxes);
}

bool
KafkaRangeExcludesPartition(List *boxes, int32 partition)
{
	ListCell   *lc;

	foreach(lc, boxes)
	{
		const KafkaBox *box = (const KafkaBox *) lfirst(lc);
		const KafkaInterval *interval = &box->dim[KAFKA_DIM_PARTITION];

		if (partition >= interval->lo && partition < interval->hi && !box_is_empty(box))
			return false;
	}
	return true;
}

static int
compare_ranges(const void *a, const void *b)
{
	const KafkaRange *x = (const KafkaRange *) a;
	const KafkaRange *y = (const KafkaRange *) b;
	int			c = compare_int64(x->partition, y->partition);

	return c != 0 ? c : compare_int64(x->start, y->start);
}

int
KafkaRangeNormalize(KafkaRange *ranges, int nranges)
{
	int			n = 0;

	for (int i = 0; i < nranges; i++)
	{
		if (ranges[i].start < ranges[i].end)
			ranges[n++] = ranges[i];
	}
	if (n == 0)
		return 0;
	nranges = n;
	n = 0;
	qsort(ranges, nranges, sizeof(KafkaRange), compare_ranges);
	for (int i = 1; i < nranges; i++)
	{
		if (ranges[i].partition == ranges[n].partition && ranges[i].start <= ranges[n].end)
			ranges[n].end = Max(ranges[n].end, ranges[i].end);
		else
			ranges[++n] = ranges[i];
	}
	return n + 1;
}

char *
KafkaRangeToString(const KafkaRange *range)
{
	if (range->end == KAFKA_NO_END)
		return psprintf("%d: [" INT64_FORMAT ", " KAFKA_RANGE_OPEN ")", range->partition,
						range->start);
	return psprintf("%d: [" INT64_FORMAT ", " INT64_FORMAT ")", range->partition, range->start,
					range->end);
}
