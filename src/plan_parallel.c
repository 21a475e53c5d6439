/*
 * plan_parallel.c
 *		The path of a scan that several processes share, below a Gather.
 *
 * Only that path may run in a worker. A scan that is not shared would look the topic's ends up by
 * itself there, and differ from its fellows, since Kafka knows nothing of PostgreSQL's snapshots.
 * So all other paths are marked as not parallel safe: a join below a Gather can have one topic or
 * several, as long as each is shared.
 */
#include "postgres.h"

#include "access/table.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"

#include "compat.h"
#include "ingest_batch.h"
#include "plan.h"
#include "plan_parallel.h"
#include "row.h"

/*
 * So much of a scan's cost stands for a page of a table in min_parallel_table_scan_size. With its
 * default of 8MB a scan that costs as much as to read a million messages has one worker, one of
 * three times as much two.
 */
#define COST_PER_PAGE 40.0

/*
 * What each process has to pay before its first row, in units of parallel_setup_cost: a worker makes
 * a handle, connects, and asks for the topic's leaders, which takes as long as to read some 100,000
 * messages.
 */
#define WORKER_START 4.0

/* PostgreSQL asks before it knows anything of the table; see KafkaPlanAddPartialPath(). */
bool
kafkaIsForeignScanParallelSafe(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	return true;
}

/*
 * True where several processes can read a table together: not where rows have to come as messages
 * do, in a tail, nor where they come from this session's memory, nor where workers cannot make them.
 */
static bool
can_be_shared(const KafkaTable *table)
{
	Relation	rel;
	bool		safe;

	if (table->wait_timeout != 0 || KafkaIngestBatchShown(table->relid) != NULL)
		return false;
	rel = table_open(table->relid, NoLock);
	safe = KafkaRowIsParallelSafe(rel, table);
	table_close(rel, NoLock);
	return safe;
}

/* How many processes' work a number of workers and their leader do, as PostgreSQL reckons it. */
static double
parallel_divisor(int workers)
{
	double		leader = parallel_leader_participation ? 1.0 - 0.3 * workers : 0;

	return workers + Max(leader, 0);
}

void
KafkaPlanAddPartialPath(PlannerInfo *root, RelOptInfo *rel, const KafkaTable *table, Cost startup,
						Cost total, List *fdw_private)
{
	ForeignPath *path;
	double		divisor;
	int			workers;

	if (!rel->consider_parallel || !bms_is_empty(rel->lateral_relids) || !can_be_shared(table))
		return;
	workers = compute_parallel_worker(rel, (total - startup) / COST_PER_PAGE, -1,
									  max_parallel_workers_per_gather);
	if (workers <= 0)
		return;
	divisor = parallel_divisor(workers);
	total -= startup;
	startup += WORKER_START * parallel_setup_cost;
	path = kafka_create_scan_path(root, rel, clamp_row_est(rel->rows / divisor), startup,
								  startup + total / divisor, NIL, NULL, fdw_private);
	path->path.parallel_aware = true;
	path->path.parallel_safe = true;
	path->path.parallel_workers = workers;
	add_partial_path(rel, (Path *) path);
}
