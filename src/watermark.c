/*
 * watermark.c
 *		kafka_get_watermarks: where the partitions of a foreign table's topic begin and end.
 *
 * It tells what SELECT from the table could find out, and so asks for the same: SELECT on the table
 * or one of its columns, and no more. The connection is the caller's.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/objectaddress.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "consumer.h"
#include "setting.h"

#define NCOLUMNS 3				/* partition, offset_low, offset_high */

PG_FUNCTION_INFO_V1(kafka_get_watermarks);

/* ERROR where the current role could not read a relation, or it is no foreign table of ours. */
static void
check_relation(Oid relid)
{
	Oid			userid = GetUserId();
	AclResult	result = pg_class_aclcheck(relid, userid, ACL_SELECT);

	if (result != ACLCHECK_OK)
		result = pg_attribute_aclcheck_all(relid, userid, ACL_SELECT, ACLMASK_ANY);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	if (!KafkaOptionIsTable(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a foreign table of kafka_fdw", get_rel_name(relid))));
}

/*
 * The first offset of each partition, and the high watermark: the offset that the next message will
 * have. A reader of committed messages may see less, while transactions are open. The table's own
 * start and end are no matter here.
 */
Datum
kafka_get_watermarks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	MemoryContext cxt;
	MemoryContext old;
	Relation	rel;
	KafkaTable *table;
	KafkaSnapshot *snapshot;

	KafkaSettingCheckRead();
	check_relation(relid);
	rel = relation_open(relid, AccessShareLock);
	InitMaterializedSRF(fcinfo, 0);

	cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw watermarks",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	table = KafkaOptionGetTable(relid, GetUserId());
	KafkaOptionCheckTopic(table->server, table->topic);
	snapshot = KafkaConsumerSnapshot(KafkaConsumerOpen(table->server, table->topic, false, false));
	for (int i = 0; i < snapshot->npartitions; i++)
	{
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS] = {false};

		values[0] = Int32GetDatum(snapshot->partitions[i].partition);
		values[1] = Int64GetDatum(snapshot->partitions[i].low);
		values[2] = Int64GetDatum(snapshot->partitions[i].end);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	relation_close(rel, NoLock);
	return (Datum) 0;
}
