/*
 * qual_describe.c
 *		The ranges of a scan in words, for EXPLAIN.
 *
 * Where all values are constants these are the very boxes that the scan starts from. Otherwise
 * boxes are carried along with those comparisons that only the execution can evaluate, multiplied
 * out for AND and put side by side for OR, as range.c does with numbers:
 *
 *		partition = 0 AND "offset" >= $1		0: [$1, snapshot)
 *		"offset" < 10 OR "offset" > $1			all: [earliest, 10), all: [$1 + 1, snapshot)
 *
 * All ranges are half open, as those of numbers are. A time stands after "@", as in the options.
 * What the table's own start_offset and end_offset bound is said too.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "qual_private.h"

#define MAX_PRODUCT 1000		/* boxes; beyond that an AND shows only its first arguments */
#define MAX_SHOWN 10			/* of the ranges; the others are counted */

/* A box, and what narrows it further: comparisons and tests whose values are not known yet. */
typedef struct OpenBox
{
	KafkaBox	box;
	List	   *terms;			/* of QualNode *: COMPARE, ARRAY, TEST */
} OpenBox;

typedef struct DescribeContext
{
	KafkaDeparseFn deparse;
	void	   *arg;
	const KafkaTable *table;
	List	   *ranges;			/* of char *, so far */
} DescribeContext;

static List *
closed_boxes(List *boxes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, boxes)
	{
		OpenBox    *open = palloc0(sizeof(OpenBox));

		open->box = *(KafkaBox *) lfirst(lc);
		result = lappend(result, open);
	}
	return result;
}

static List *
and_boxes(List *a, List *b)
{
	List	   *result = NIL;
	ListCell   *x;
	ListCell   *y;

	if ((int64) list_length(a) * list_length(b) > MAX_PRODUCT)
		return a;
	foreach(x, a)
	{
		foreach(y, b)
		{
			OpenBox    *left = (OpenBox *) lfirst(x);
			OpenBox    *right = (OpenBox *) lfirst(y);
			List	   *boxes = KafkaRangeAnd(list_make1(&left->box), list_make1(&right->box));
			OpenBox    *open;

			if (boxes == NIL)
				continue;
			open = palloc(sizeof(OpenBox));
			open->box = *(KafkaBox *) linitial(boxes);
			open->terms = list_concat_copy(left->terms, right->terms);
			result = lappend(result, open);
		}
	}
	return result;
}

/* A comparison that is known, as boxes; one that is not, as a term. */
static List *
comparison_boxes(QualNode *comparison, StrategyNumber strategy)
{
	QualNode   *node = palloc(sizeof(QualNode));
	List	   *result;

	*node = *comparison;
	node->strategy = strategy;
	result = closed_boxes(kafka_qual_evaluate(node, NULL));
	if (!kafka_qual_is_constant(node))
		((OpenBox *) linitial(result))->terms = list_make1(node);
	return result;
}

static List *
open_boxes(QualNode *node)
{
	List	   *result = NIL;
	List	   *prefix;
	ListCell   *lc;

	if (kafka_qual_is_constant(node))
		return closed_boxes(kafka_qual_evaluate(node, NULL));
	switch (node->kind)
	{
		case QUAL_OR:
			foreach(lc, node->args)
				result = list_concat(result, open_boxes((QualNode *) lfirst(lc)));
			return result;

		case QUAL_AND:
			result = closed_boxes(KafkaRangeAll());
			foreach(lc, node->args)
				result = and_boxes(result, open_boxes((QualNode *) lfirst(lc)));
			return result;

		case QUAL_ROW:
			prefix = closed_boxes(KafkaRangeAll());
			foreach(lc, node->args)
			{
				QualNode   *pair = (QualNode *) lfirst(lc);
				StrategyNumber strategy = pair->strategy;

				if (lnext(node->args, lc) != NULL || node->partial)
					strategy = kafka_qual_strict_strategy(strategy);
				result = list_concat(result,
									 and_boxes(prefix, comparison_boxes(pair, strategy)));
				prefix = and_boxes(prefix, comparison_boxes(pair, BTEqualStrategyNumber));
			}
			return node->partial ? list_concat(result, prefix) : result;

		default:
			return comparison_boxes(node, node->strategy);
	}
}

/* The value of a term, as it stands on the right of its operator. */
static char *
term_value(DescribeContext *cxt, const QualNode *term)
{
	char	   *text = cxt->deparse((Node *) term->value, cxt->arg);

	return term->kind == QUAL_ARRAY ? psprintf("%s (%s)", term->all ? "ALL" : "ANY", text) : text;
}

/* Words with something between them. */
static char *
join_words(List *words, const char *separator)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, words)
	{
		if (buf.len > 0)
			appendStringInfoString(&buf, separator);
		appendStringInfoString(&buf, (char *) lfirst(lc));
	}
	return buf.data;
}

/* The only bound there is, or a call that says how several come to one. */
static char *
join_bounds(List *words, const char *function)
{
	if (list_length(words) == 1)
		return (char *) linitial(words);
	return psprintf("%s(%s)", function, join_words(words, ", "));
}

static char *
time_word(int64 ms)
{
	KafkaOffset offset;

	offset.kind = KAFKA_OFFSET_TIME;
	offset.value = ms;
	return KafkaOffsetToString(offset);
}

/* "3", "0-4", ">= 2", "$1", "all" */
static char *
partition_word(DescribeContext *cxt, const OpenBox *open)
{
	static const char *const operators[] = {"", "< ", "<= ", "", ">= ", "> ", "<> "};
	const KafkaInterval *interval = &open->box.dim[KAFKA_DIM_PARTITION];
	int64		lo = Max(interval->lo, 0);
	List	   *words = NIL;
	ListCell   *lc;

	if (interval->hi > PG_INT32_MAX)
	{
		if (lo > 0)
			words = lappend(words, psprintf(">= " INT64_FORMAT, lo));
	}
	else if (interval->hi - 1 == lo)
		words = lappend(words, psprintf(INT64_FORMAT, lo));
	else
		words = lappend(words, psprintf(INT64_FORMAT "-" INT64_FORMAT, lo, interval->hi - 1));

	foreach(lc, open->terms)
	{
		QualNode   *term = (QualNode *) lfirst(lc);

		if (term->kind != QUAL_TEST && term->dim == KAFKA_DIM_PARTITION)
			words = lappend(words, psprintf("%s%s", operators[term->strategy],
											term_value(cxt, term)));
	}
	return words == NIL ? "all" : join_words(words, " and ");
}

/*
 * The start of a box's ranges; "start" is the table's for the partitions in question. The number
 * among the bounds, if any, goes to *number.
 */
static char *
start_word(DescribeContext *cxt, const OpenBox *open, KafkaOffset start, int64 *number)
{
	const KafkaInterval *offsets = &open->box.dim[KAFKA_DIM_OFFSET];
	const KafkaInterval *times = &open->box.dim[KAFKA_DIM_TIMESTAMP];
	List	   *words = NIL;
	ListCell   *lc;

	*number = Max(offsets->lo, 0);
	if (start.kind == KAFKA_OFFSET_AT)
		*number = Max(*number, start.value);
	else if (start.kind != KAFKA_OFFSET_EARLIEST)
		words = lappend(words, KafkaOffsetToString(start));
	if (*number > 0)
		words = lappend(words, psprintf(INT64_FORMAT, *number));
	if (times->lo > 0)
		words = lappend(words, time_word(times->lo));

	foreach(lc, open->terms)
	{
		QualNode   *term = (QualNode *) lfirst(lc);

		if (term->kind == QUAL_TEST || term->dim == KAFKA_DIM_PARTITION ||
			(term->strategy != BTEqualStrategyNumber &&
			 term->strategy != BTGreaterEqualStrategyNumber &&
			 term->strategy != BTGreaterStrategyNumber))
			continue;
		if (term->dim == KAFKA_DIM_TIMESTAMP)
			words = lappend(words, psprintf("@%s", term_value(cxt, term)));
		else if (term->strategy == BTGreaterStrategyNumber)
			words = lappend(words, psprintf("%s + 1", term_value(cxt, term)));
		else
			words = lappend(words, term_value(cxt, term));
	}
	return words == NIL ? "earliest" : join_bounds(words, "greatest");
}

/* True where the table says that its timestamps can be relied on, more or less. */
static bool
times_bound_the_end(const KafkaTable *table)
{
	return table->timestamp_ordered || table->max_timestamp_skew >= 0;
}

/* The end, likewise. */
static char *
end_word(DescribeContext *cxt, const OpenBox *open, KafkaOffset end, int64 *number)
{
	const KafkaInterval *offsets = &open->box.dim[KAFKA_DIM_OFFSET];
	const KafkaInterval *times = &open->box.dim[KAFKA_DIM_TIMESTAMP];
	const KafkaTable *table = cxt->table;
	int64		skew = table->timestamp_ordered ? 0 : table->max_timestamp_skew;
	List	   *words = NIL;
	ListCell   *lc;

	*number = offsets->hi;
	if (end.kind == KAFKA_OFFSET_AT)
		*number = Min(*number, end.value);
	else if (end.kind != KAFKA_OFFSET_SNAPSHOT)
		words = lappend(words, KafkaOffsetToString(end));
	if (*number < PG_INT64_MAX)
		words = lappend(words, psprintf(INT64_FORMAT, *number));
	if (times_bound_the_end(table) && times->hi < PG_INT64_MAX - skew)
		words = lappend(words, time_word(times->hi + skew));

	foreach(lc, open->terms)
	{
		QualNode   *term = (QualNode *) lfirst(lc);

		if (term->kind == QUAL_TEST || term->dim == KAFKA_DIM_PARTITION ||
			(term->strategy != BTEqualStrategyNumber &&
			 term->strategy != BTLessEqualStrategyNumber &&
			 term->strategy != BTLessStrategyNumber))
			continue;
		if (term->dim == KAFKA_DIM_TIMESTAMP)
		{
			if (!times_bound_the_end(table))
				continue;
			if (skew > 0)
				words = lappend(words, psprintf("@%s + " INT64_FORMAT " ms",
												term_value(cxt, term), skew));
			else
				words = lappend(words, psprintf("@%s", term_value(cxt, term)));
		}
		else if (term->strategy == BTLessStrategyNumber)
			words = lappend(words, term_value(cxt, term));
		else
			words = lappend(words, psprintf("%s + 1", term_value(cxt, term)));
	}
	if (words == NIL)
		return table->wait_timeout != 0 && !table->end_given ? KAFKA_RANGE_OPEN : "snapshot";
	return join_bounds(words, "least");
}

/* One range, unless it is empty; "condition" is what it holds under, "" where there is none. */
static void
add_range(DescribeContext *cxt, const OpenBox *open, const char *partition, KafkaOffset start,
		  KafkaOffset end, const char *condition)
{
	int64		lo;
	int64		hi;
	char	   *from = start_word(cxt, open, start, &lo);
	char	   *to = end_word(cxt, open, end, &hi);

	if (lo < hi)
		cxt->ranges = lappend(cxt->ranges,
							  psprintf("%s: [%s, %s)%s", partition, from, to, condition));
}

/*
 * The ranges of a box: one, but where the table's options tell partitions apart. Those come first,
 * each for itself, and then the others.
 */
static void
add_ranges(DescribeContext *cxt, const OpenBox *open)
{
	const KafkaOffsetSpec *start = cxt->table->start;
	const KafkaOffsetSpec *end = cxt->table->end;
	const KafkaInterval *interval = &open->box.dim[KAFKA_DIM_PARTITION];
	char	   *all = partition_word(cxt, open);
	bool		all_known = true;
	List	   *tests = NIL;
	char	   *condition = "";
	int64		others;
	int64		named = 0;
	int			i = 0;
	int			j = 0;
	ListCell   *lc;

	if (interval->hi <= 0 || interval->lo > PG_INT32_MAX)
		return;
	foreach(lc, open->terms)
	{
		QualNode   *term = (QualNode *) lfirst(lc);

		if (term->kind == QUAL_TEST)
			tests = lappend(tests, term_value(cxt, term));
		else if (term->dim == KAFKA_DIM_PARTITION)
			all_known = false;
	}
	if (tests != NIL)
		condition = psprintf(" if %s", join_words(tests, " and "));

	others = Min(interval->hi, (int64) PG_INT32_MAX + 1) - Max(interval->lo, 0);
	while (i < start->npartitions || j < end->npartitions)
	{
		int64		partition = PG_INT64_MAX;
		char	   *word;

		if (i < start->npartitions)
			partition = start->partitions[i].partition;
		if (j < end->npartitions)
			partition = Min(partition, end->partitions[j].partition);
		if (i < start->npartitions && start->partitions[i].partition == partition)
			i++;
		if (j < end->npartitions && end->partitions[j].partition == partition)
			j++;
		if (partition < interval->lo || partition >= interval->hi)
			continue;
		named++;
		word = all_known ? psprintf(INT64_FORMAT, partition)
			: psprintf(INT64_FORMAT " of %s", partition, all);
		add_range(cxt, open, word, KafkaOffsetFor(start, partition),
				  KafkaOffsetFor(end, partition), condition);
	}
	if (named == others)
		return;
	if (named > 0)
		all = strcmp(all, "all") == 0 ? "others" : psprintf("others of %s", all);
	add_range(cxt, open, all, start->all, end->all, condition);
}

char *
KafkaQualDescribe(const KafkaQualColumns *columns, List *clauses, KafkaDeparseFn deparse,
				  void *arg, const KafkaTable *table)
{
	DescribeContext cxt;
	List	   *boxes = open_boxes(kafka_qual_parse(columns, clauses, NULL));
	List	   *closed = NIL;
	int			nranges;
	char	   *text;
	ListCell   *lc;

	cxt.deparse = deparse;
	cxt.arg = arg;
	cxt.table = table;
	cxt.ranges = NIL;

	/* Boxes that differ only in a bound that is not used are one. */
	foreach(lc, boxes)
	{
		OpenBox    *open = (OpenBox *) lfirst(lc);

		if (open->terms != NIL)
			continue;
		if (!times_bound_the_end(table))
			open->box.dim[KAFKA_DIM_TIMESTAMP].hi = PG_INT64_MAX;
		closed = lappend(closed, &open->box);
	}
	foreach(lc, closed_boxes(KafkaRangeSimplify(closed)))
		add_ranges(&cxt, (OpenBox *) lfirst(lc));
	foreach(lc, boxes)
	{
		if (((OpenBox *) lfirst(lc))->terms != NIL)
			add_ranges(&cxt, (OpenBox *) lfirst(lc));
	}

	nranges = list_length(cxt.ranges);
	if (nranges == 0)
		return "none";
	text = join_words(list_truncate(cxt.ranges, Min(nranges, MAX_SHOWN)), ", ");
	return nranges <= MAX_SHOWN ? text : psprintf("%s, and %d more", text, nranges - MAX_SHOWN);
}
