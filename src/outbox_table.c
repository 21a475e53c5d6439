/*
 * outbox_table.c
 *		The extension's own tables as the outbox knows them: their OIDs, and which one is in use.
 *
 * Every transaction that adds a message needs them, so a session keeps what it has found until a
 * relation of them is invalidated. Each of them is when the extension is dropped, and when its
 * CREATE is rolled back; kafka_outbox_current also when a relay has gone on to another table
 * (KafkaOutboxUse).
 *
 * Which table is in use is looked at again once its lock is held: taking a lock takes what was
 * invalidated before. A row that gets into another table all the same is sent like any other; the
 * table is only emptied later.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_extension.h"
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "outbox_private.h"

#define EXTENSION "kafka_fdw"

static OutboxCatalog catalog;
static bool catalog_valid = false;
static uint32 nchanges = 0;		/* of any relation of it */
static Oid	target = InvalidOid;	/* the table that the transaction has locked */

/* A relation was invalidated; or all were. */
static void
forget_relation(Datum arg, Oid relid)
{
	bool		ours = !OidIsValid(relid) || relid == catalog.current || relid == catalog.sequence ||
		relid == catalog.relay;

	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
		ours = ours || relid == catalog.tables[i];
	if (!ours)
		return;
	nchanges++;
	catalog_valid = false;
	target = InvalidOid;
}

Oid
KafkaOutboxFindSchema(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

static Oid
find_relation(Oid schema, const char *name)
{
	Oid			relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s\" of extension \"%s\" is missing", name, EXTENSION);
	return relid;
}

/* The number of the table in use, as of now, whatever the transaction's snapshot. */
static int
read_current(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	bool		isnull;
	int			n;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "relation \"%s\" is empty", RelationGetRelationName(rel));
	n = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	if (n < 0 || n >= KAFKA_OUTBOX_TABLES)
		elog(ERROR, "there is no table %d of the outbox", n);
	return n;
}

/* Read all of it; false where there is no extension. */
static bool
read_catalog(void)
{
	static bool registered = false;
	uint32		before;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		registered = true;
	}
	before = nchanges;
	catalog.schema = KafkaOutboxFindSchema();
	if (!OidIsValid(catalog.schema))
		return false;
	for (int i = 0; i < KAFKA_OUTBOX_TABLES; i++)
	{
		char		name[NAMEDATALEN];

		snprintf(name, sizeof(name), "kafka_outbox_%d", i);
		catalog.tables[i] = find_relation(catalog.schema, name);
	}
	catalog.current = find_relation(catalog.schema, "kafka_outbox_current");
	catalog.sequence = find_relation(catalog.schema, "kafka_outbox_id");
	catalog.relay = find_relation(catalog.schema, "kafka_relay");
	catalog.in_use = read_current(catalog.current);
	/* Each look-up may take what was invalidated since the one before it. */
	catalog_valid = nchanges == before;
	return true;
}

const OutboxCatalog *
kafka_outbox_catalog(void)
{
	if (!catalog_valid && !read_catalog())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", EXTENSION)));
	return &catalog;
}

bool
KafkaOutboxExists(void)
{
	Oid			schema;

	if (catalog_valid)
		return true;
	schema = KafkaOutboxFindSchema();
	return OidIsValid(schema) && OidIsValid(get_relname_relid("kafka_outbox_current", schema));
}

Oid
KafkaOutboxSchema(void)
{
	return kafka_outbox_catalog()->schema;
}

Oid
KafkaOutboxTable(int n)
{
	return kafka_outbox_catalog()->tables[n];
}

void
KafkaOutboxChanged(void)
{
	CacheInvalidateRelcacheByRelid(kafka_outbox_catalog()->current);
}

Oid
kafka_outbox_target(void)
{
	while (!OidIsValid(target))
	{
		const OutboxCatalog *now = kafka_outbox_catalog();
		Oid			table = now->tables[now->in_use];

		LockRelationOid(table, RowExclusiveLock);
		now = kafka_outbox_catalog();
		if (now->tables[now->in_use] == table)
			target = table;
		else
			UnlockRelationOid(table, RowExclusiveLock);
	}
	return target;
}

void
kafka_outbox_forget_target(void)
{
	target = InvalidOid;
}

/*
 * What CatalogTupleInsert() does, for indexes of plain columns, without taking all of them apart and giving
 * their locks back each time.
 */
void
kafka_outbox_insert(Relation rel, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	simple_heap_insert(rel, tuple);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);
		IndexInfo  *info = BuildIndexInfo(index);
		Datum		keys[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		if (info->ii_Unique || info->ii_Expressions != NIL || info->ii_Predicate != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot add a message to the outbox with index \"%s\"",
							RelationGetRelationName(index)),
					 errdetail("It is unique, partial, or has expressions."),
					 errhint("Drop the index.")));
		for (int i = 0; i < info->ii_NumIndexAttrs; i++)
		{
			keys[i] = values[info->ii_IndexAttrNumbers[i] - 1];
			isnull[i] = nulls[info->ii_IndexAttrNumbers[i] - 1];
		}
		if (info->ii_ReadyForInserts)
			(void) index_insert(index, keys, isnull, &tuple->t_self, rel, UNIQUE_CHECK_NO, false,
								info);
		pfree(info);
		index_close(index, NoLock);
	}
	list_free(indexes);
	heap_freetuple(tuple);
}
