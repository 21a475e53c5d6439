/*
 * subscription_key.c
 *		Mode upsert: the columns that source and target share, and those that find a row.
 *
 * The key is one of ON CONFLICT, so there has to be a unique index of it that can decide at once. Keys
 * are equal where the index says so, which need not be where their bytes are equal.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "subscription_upsert.h"

/* ------------------------------------------------------------------------
 * The key
 * ------------------------------------------------------------------------ */

/* Whether an index can decide ON CONFLICT; if not, why. */
static const char *
index_problem(Relation index)
{
	if (!index->rd_index->indimmediate)
		return "Its constraint is deferrable.";
	if (RelationGetIndexPredicate(index) != NIL)
		return "Its index is partial.";
	if (!index->rd_index->indisvalid)
		return "Its index is not valid.";
	return NULL;
}

/* Whether an index is a unique one of just these columns of its table. */
static bool
index_has_columns(Relation index, Bitmapset *attnums)
{
	Bitmapset  *own = NULL;
	bool		same;

	if (!index->rd_index->indisunique || RelationGetIndexExpressions(index) != NIL)
		return false;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		own = bms_add_member(own, index->rd_index->indkey.values[i]);
	same = bms_equal(own, attnums);
	bms_free(own);
	return same;
}

/* The index that makes these columns a key; opened. */
static Relation
open_key_index(Relation target, Bitmapset *attnums)
{
	const char *problem = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index_has_columns(index, attnums))
		{
			const char *reason = index_problem(index);

			if (reason == NULL)
				return index;
			problem = reason;
		}
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("the key is not unique in table \"%s\"", RelationGetRelationName(target)),
			 problem ? errdetail_internal("%s", problem) : 0,
			 errhint("Mode \"upsert\" needs a primary key, a unique constraint or a unique index of just these columns, that is neither deferrable nor partial.")));
}

/* The number of a column, of those that both relations have. */
static int
find_column(const KafkaUpsert *upsert, AttrNumber target)
{
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		if (upsert->columns[i].target == target)
			return i;
	}
	return -1;
}

/* The attributes of the target that are its key. */
static Bitmapset *
key_attributes(const KafkaUpsert *upsert, List *names)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, names)
	{
		const char *name = lfirst(lc);
		AttrNumber	attnum = get_attnum(RelationGetRelid(upsert->target), name);

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the key does not exist in table \"%s\"", name,
							RelationGetRelationName(upsert->target))));
		if (bms_is_member(attnum, result))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" is in the key twice", name)));
		if (find_column(upsert, attnum) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the key does not exist in foreign table \"%s\"",
							name, RelationGetRelationName(upsert->source)),
					 errhint("Columns of the source go to those of the target that have their names.")));
		result = bms_add_member(result, attnum);
	}
	return result;
}

/* Find the columns of the key, and how the target compares them. */
static void
open_key(KafkaUpsert *upsert, List *names)
{
	Relation	index = open_key_index(upsert->target, key_attributes(upsert, names));

	upsert->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	upsert->exact_key = _bt_allequalimage(index, false);
	upsert->keys = palloc0(upsert->nkeys * sizeof(UpsertKey));
	for (int i = 0; i < upsert->nkeys; i++)
	{
		UpsertKey  *key = &upsert->keys[i];
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(upsert->target), attnum - 1);

		key->column = find_column(upsert, attnum);
		upsert->columns[key->column].is_key = true;
		key->collation = index->rd_indcollation[i];
		key->equal = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
										 index->rd_opcintype[i], BTEqualStrategyNumber);
		if (!OidIsValid(key->equal) || !op_hashjoinable(key->equal, attr->atttypid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" cannot be a key of a subscription",
							NameStr(attr->attname), RelationGetRelationName(upsert->target)),
					 errdetail("Values of type %s cannot be hashed.",
							   format_type_be(attr->atttypid))));
	}
	index_close(index, NoLock);
}

List *
kafka_subscription_default_key(Oid target)
{
	Relation	rel = table_open(target, AccessShareLock);
	Oid			primary = kafka_primary_key_index(rel);
	List	   *names = NIL;

	if (!OidIsValid(primary))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
				 errhint("Mode \"upsert\" needs one, or a key, as in key => ARRAY['id'].")));
	{
		Relation	index = index_open(primary, AccessShareLock);

		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
			names = lappend(names, get_attname(target, index->rd_index->indkey.values[i], false));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return names;
}

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------ */

/* Match the columns by name. What the target generates is left to it. */
static void
match_columns(KafkaUpsert *upsert)
{
	TupleDesc	desc = RelationGetDescr(upsert->target);

	upsert->columns = palloc0(desc->natts * sizeof(UpsertColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		UpsertColumn *column = &upsert->columns[upsert->ncolumns];

		if (attr->attisdropped || attr->attgenerated != '\0')
			continue;
		column->source = get_attnum(RelationGetRelid(upsert->source), NameStr(attr->attname));
		if (column->source <= 0)
			continue;
		column->name = pstrdup(NameStr(attr->attname));
		column->target = attr->attnum;
		upsert->used = bms_add_member(upsert->used,
									  column->source - FirstLowInvalidHeapAttributeNumber);
		if (attr->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			upsert->overriding = true;
		upsert->ncolumns++;
	}
}

/* The source is not read by a statement, so its privileges are looked at here. */
static void
check_source_privileges(const KafkaUpsert *upsert)
{
	Oid			relid = RelationGetRelid(upsert->source);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return;
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		AclResult	result = pg_attribute_aclcheck(relid, upsert->columns[i].source, GetUserId(),
												   ACL_SELECT);

		if (result != ACLCHECK_OK)
			aclcheck_error(result, get_relkind_objtype(RELKIND_FOREIGN_TABLE),
						   RelationGetRelationName(upsert->source));
	}
}

/*
 * The value of a column, made from the source's as an INSERT would. Of a domain it is only the base
 * type: its constraints are the statements' matter, as a value that is unavailable need not hold them.
 */
static Expr *
make_value(const KafkaUpsert *upsert, const UpsertColumn *column, Oid type, int32 typmod)
{
	Form_pg_attribute from = TupleDescAttr(RelationGetDescr(upsert->source), column->source - 1);
	Form_pg_attribute to = TupleDescAttr(RelationGetDescr(upsert->target), column->target - 1);
	Node	   *var = (Node *) makeVar(1, column->source, from->atttypid, from->atttypmod,
									   from->attcollation, 0);
	Node	   *value = coerce_to_target_type(NULL, var, from->atttypid, type, typmod,
											  COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is of type %s in \"%s\", but of type %s in \"%s\"",
						column->name, format_type_be(to->atttypid),
						RelationGetRelationName(upsert->target), format_type_be(from->atttypid),
						RelationGetRelationName(upsert->source)),
				 errdetail("There is no assignment cast between them.")));
	return expression_planner((Expr *) value);
}

/* Have a column in a projection's list, and in the description of what comes of it. */
static List *
add_column(const KafkaUpsert *upsert, const UpsertColumn *column, List *list, TupleDesc desc)
{
	AttrNumber	n = list_length(list) + 1;
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(upsert->target), column->target - 1);
	int32		typmod = attr->atttypmod;
	Oid			type = getBaseTypeAndTypmod(attr->atttypid, &typmod);

	TupleDescInitEntry(desc, n, column->name, type, typmod, attr->attndims);
	TupleDescInitEntryCollation(desc, n, attr->attcollation);
	return lappend(list, makeTargetEntry(make_value(upsert, column, type, typmod), n, NULL, false));
}

/* Prepare to make rows, and keys, of what the source shows. */
static void
open_projections(KafkaUpsert *upsert)
{
	List	   *list = NIL;
	List	   *keys = NIL;

	upsert->desc = CreateTemplateTupleDesc(upsert->ncolumns);
	upsert->key_desc = CreateTemplateTupleDesc(upsert->nkeys);
	for (int i = 0; i < upsert->ncolumns; i++)
		list = add_column(upsert, &upsert->columns[i], list, upsert->desc);
	for (int i = 0; i < upsert->nkeys; i++)
		keys = add_column(upsert, &upsert->columns[upsert->keys[i].column], keys,
						  upsert->key_desc);
	upsert->econtext = CreateStandaloneExprContext();
	upsert->key_slot = MakeSingleTupleTableSlot(upsert->key_desc, &TTSOpsVirtual);
	upsert->old_slot = MakeSingleTupleTableSlot(upsert->desc, &TTSOpsMinimalTuple);
	upsert->project = ExecBuildProjectionInfo(list, upsert->econtext,
											  MakeSingleTupleTableSlot(upsert->desc,
																	   &TTSOpsVirtual),
											  NULL, RelationGetDescr(upsert->source));
	upsert->project_key = ExecBuildProjectionInfo(keys, upsert->econtext, upsert->key_slot, NULL,
												  RelationGetDescr(upsert->source));
}

/* Everything that does not depend on the messages. */
void
kafka_upsert_open(KafkaUpsert *upsert, const KafkaSubscription *subscription)
{
	memset(upsert, 0, sizeof(KafkaUpsert));
	upsert->target = table_open(subscription->target, RowExclusiveLock);
	if (upsert->target->rd_rel->relkind == RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("view \"%s\" cannot be the target of a subscription in mode \"upsert\"",
						RelationGetRelationName(upsert->target)),
				 errdetail("A view has no unique index.")));
	upsert->source = table_open(subscription->source, AccessShareLock);
	match_columns(upsert);
	open_key(upsert, subscription->key);
	check_source_privileges(upsert);
	open_projections(upsert);
}

void
kafka_upsert_close(KafkaUpsert *upsert)
{
	FreeExprContext(upsert->econtext, true);
	table_close(upsert->source, NoLock);
	table_close(upsert->target, NoLock);
}
