/*
 * compat.h
 *		The differences between PostgreSQL's major versions, and nothing else.
 *
 * Every version #if of the project stands here, so that the logic elsewhere reads as written for
 * one PostgreSQL.
 */
#ifndef KAFKA_COMPAT_H
#define KAFKA_COMPAT_H

#include "access/parallel.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "kafka_fdw needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif

#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#include "storage/waiteventset.h"
#endif

/* PostgreSQL 18's spelling; it stands before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* A wait set that lives as long as the backend. */
static inline WaitEventSet *
kafka_create_wait_set(int nevents)
{
#if PG_VERSION_NUM >= 170000
	return CreateWaitEventSet(NULL, nevents);
#else
	return CreateWaitEventSet(TopMemoryContext, nevents);
#endif
}

/* A name for one kind of wait in pg_stat_activity; PostgreSQL 15 and 16 only have "Extension". */
static inline uint32
kafka_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

/* May a role do SET ROLE to another one? PostgreSQL 15 asks for membership alone. */
static inline bool
kafka_member_can_set_role(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* The caller's rights on a foreign server. */
static inline AclResult
kafka_server_aclcheck(Oid serverid, Oid roleid, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, serverid, roleid, mode);
#else
	return pg_foreign_server_aclcheck(serverid, roleid, mode);
#endif
}

/* ERROR where a table is not the current role's. */
static inline void
kafka_check_owner(Oid relid)
{
#if PG_VERSION_NUM >= 160000
	bool		ours = object_ownercheck(RelationRelationId, relid, GetUserId());
#else
	bool		ours = pg_class_ownercheck(relid, GetUserId());
#endif

	if (!ours)
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/* As whom a relation is read or written: a view's owner, or the current role. */
static inline Oid
kafka_plan_user(PlannerInfo *root, RelOptInfo *rel)
{
#if PG_VERSION_NUM >= 160000
	(void) root;
	return OidIsValid(rel->userid) ? rel->userid : GetUserId();
#else
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

static inline Oid
kafka_scan_user(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
#if PG_VERSION_NUM >= 160000
	return OidIsValid(plan->checkAsUser) ? plan->checkAsUser : GetUserId();
#else
	RangeTblEntry *rte = exec_rt_fetch(plan->scan.scanrelid, node->ss.ps.state);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

static inline Oid
kafka_modify_user(ResultRelInfo *rel, EState *estate)
{
	Oid			userid;

#if PG_VERSION_NUM >= 160000
	userid = ExecGetResultRelCheckAsUser(rel, estate);
#else
	/* A partition reached by routing has no range-table entry: its root's counts. */
	ResultRelInfo *named = rel->ri_RootResultRelInfo ? rel->ri_RootResultRelInfo : rel;

	userid = named->ri_RangeTableIndex > 0
		? exec_rt_fetch(named->ri_RangeTableIndex, estate)->checkAsUser : InvalidOid;
#endif
	return OidIsValid(userid) ? userid : GetUserId();
}

/* The direction of a sort order. */
static inline bool
kafka_pathkey_is_descending(const PathKey *key)
{
#if PG_VERSION_NUM >= 180000
	return key->pk_cmptype == COMPARE_GT;
#else
	return key->pk_strategy == BTGreaterStrategyNumber;
#endif
}

/*
 * create_foreignscan_path() grows an argument in most releases. The path is not to be run by a
 * worker, whatever the relation is: see plan_parallel.c.
 */
static inline ForeignPath *
kafka_create_scan_path(PlannerInfo *root, RelOptInfo *rel, double rows, Cost startup_cost,
					   Cost total_cost, List *pathkeys, Relids required_outer, List *fdw_private)
{
	ForeignPath *path;

#if PG_VERSION_NUM >= 180000
	path = create_foreignscan_path(root, rel, NULL, rows, 0, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, NIL, fdw_private);
#elif PG_VERSION_NUM >= 170000
	path = create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, NIL, fdw_private);
#else
	path = create_foreignscan_path(root, rel, NULL, rows, startup_cost, total_cost, pathkeys,
								   required_outer, NULL, fdw_private);
#endif
	path->path.parallel_safe = false;
	return path;
}

/* "infinity" or "-infinity" where an interval is that, which it can be from PostgreSQL 17 on; or NULL. */
static inline const char *
kafka_interval_infinity(const Interval *interval)
{
#if PG_VERSION_NUM >= 170000
	if (INTERVAL_IS_NOBEGIN(interval))
		return "-infinity";
	if (INTERVAL_IS_NOEND(interval))
		return "infinity";
#else
	(void) interval;
#endif
	return NULL;
}

/* True for a generated column whose value is not stored: a trigger does not see it. */
static inline bool
kafka_is_virtual(Form_pg_attribute attribute)
{
#if PG_VERSION_NUM >= 180000
	return attribute->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
#else
	(void) attribute;
	return false;
#endif
}

/* The type that a string names; an error where it names none. */
static inline void
kafka_parse_type(const char *string, Oid *type, int32 *typmod)
{
#if PG_VERSION_NUM >= 160000
	(void) parseTypeString(string, type, typmod, NULL);
#else
	parseTypeString(string, type, typmod, false);
#endif
}

/* The date, time and zone that ParseDateTime's fields are; 0, or a DTERR code. */
static inline int
kafka_decode_datetime(char **field, int *ftype, int nf, int *dtype, struct pg_tm *tm,
					  fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#else
	/* There a zone that nobody knows is an error at once. */
	for (int i = 0; i < nf; i++)
	{
		if (ftype[i] == DTK_DATE && (field[i][0] < '0' || field[i][0] > '9') &&
			pg_tzset(field[i]) == NULL)
			return DTERR_BAD_FORMAT;
	}
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#endif
}

/* Input functions that report bad input instead of raising it. */
#if PG_VERSION_NUM >= 160000
#define KAFKA_HAS_SOFT_INPUT true
#else
#define KAFKA_HAS_SOFT_INPUT false
#endif

/* Call one of them: false, and the error's message, where the string is no value of the type. */
static inline bool
kafka_input_soft(FmgrInfo *function, char *string, Oid ioparam, int32 typmod, Datum *result,
				 char **message)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext save = {T_ErrorSaveContext};

	save.details_wanted = true;
	if (InputFunctionCallSafe(function, string, ioparam, typmod, (Node *) &save, result))
		return true;
	*message = save.error_data->message;
	return false;
#else
	(void) message;
	*result = InputFunctionCall(function, string, ioparam, typmod);
	return true;
#endif
}

/* What kafka_begin_subtransaction() has to put back. */
typedef struct KafkaParallelMode
{
	int			levels;			/* of parallel mode that were left */
	struct ParallelContext *own;	/* its place in the list of contexts shows where that begins */
	dlist_head	contexts;		/* that list */
} KafkaParallelMode;

/*
 * Begin a subtransaction within a statement; what is returned goes to kafka_end_subtransaction()
 * after it was released or rolled back. PostgreSQL 15 and 16 have none while parallel workers run
 * elsewhere in the plan. Later ones do, since one that is over before anything else happens, and
 * writes nothing, leaves no state that a worker would have to know of: so step out of parallel mode
 * for as long as it takes. With assertions PostgreSQL checks that no workers are left behind then; so
 * they are hidden from it.
 */
static inline KafkaParallelMode
kafka_begin_subtransaction(void)
{
	KafkaParallelMode mode = {0};

#if PG_VERSION_NUM < 170000
#ifdef USE_ASSERT_CHECKING
	if (IsInParallelMode() && ParallelContextActive())
	{
		dlist_head *list;

		mode.own = CreateParallelContext("postgres", "none", 0);
		list = dlist_container(dlist_head, head, mode.own->node.prev);
		mode.contexts = *list;
		dlist_init(list);
	}
#endif
	while (IsInParallelMode())
	{
		ExitParallelMode();
		mode.levels++;
	}
#endif
	BeginInternalSubTransaction(NULL);
	return mode;
}

static inline void
kafka_end_subtransaction(KafkaParallelMode *mode)
{
	while (mode->levels-- > 0)
		EnterParallelMode();
	if (mode->own != NULL)
	{
		*dlist_container(dlist_head, head, mode->own->node.prev) = mode->contexts;
		DestroyParallelContext(mode->own);
		/* Nobody has listened to the workers meanwhile. */
		HandleParallelMessageInterrupt();
	}
}

/* True where a subtransaction can be begun in a parallel worker too. */
#if PG_VERSION_NUM >= 170000
#define KAFKA_HAS_PARALLEL_SUBTRANSACTIONS true
#else
#define KAFKA_HAS_PARALLEL_SUBTRANSACTIONS false
#endif

#if PG_VERSION_NUM >= 180000
#define kafka_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define kafka_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* A backend's status by its number in pg_stat_activity's list. */
#if PG_VERSION_NUM >= 160000
#define kafka_fetch_backend_status(n) pgstat_get_local_beentry_by_index(n)
#else
#define kafka_fetch_backend_status(n) pgstat_fetch_stat_local_beentry(n)
#endif

/* Put a row's entries into the indexes; those that are to be checked later. */
static inline List *
kafka_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL);
#endif
}

/* A hash table of tuples by these columns; each has a pointer besides. */
static inline TupleHashTable
kafka_build_tuple_hash(TupleDesc desc, int ncolumns, AttrNumber *columns, const Oid *equal,
					   FmgrInfo *hash, Oid *collations, MemoryContext cxt, MemoryContext tempcxt)
{
#if PG_VERSION_NUM >= 180000
	return BuildTupleHashTable(NULL, desc, NULL, ncolumns, columns, equal, hash, collations, 256,
							   sizeof(void *), cxt, cxt, tempcxt, false);
#else
	return BuildTupleHashTableExt(NULL, desc, ncolumns, columns, equal, hash, collations, 256,
								  sizeof(void *), cxt, cxt, tempcxt, false);
#endif
}

/* Where that pointer is. */
static inline void **
kafka_tuple_hash_payload(TupleHashTable table, TupleHashEntry entry)
{
#if PG_VERSION_NUM >= 180000
	return (void **) TupleHashEntryGetAdditional(table, entry);
#else
	(void) table;
	return &entry->additional;
#endif
}

static inline MinimalTuple
kafka_tuple_hash_tuple(TupleHashEntry entry)
{
#if PG_VERSION_NUM >= 180000
	return TupleHashEntryGetTuple(entry);
#else
	return entry->firstTuple;
#endif
}

#endif							/* KAFKA_COMPAT_H */
