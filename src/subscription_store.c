/*
 * subscription_store.c
 *		The catalogue of subscriptions: kafka_subscription and kafka_subscription_offset.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "outbox.h"
#include "subscription.h"
#include "access.h"
#include "subscription_private.h"

/*
 * A place has a new version with each batch, and while somebody has an old snapshot none of these goes away: an
 * index leads through all of them. So who knows where a version is asks for it there; if it is not
 * the newest any more it is not found. The other conditions are written such that they suit no index.
 */
#define ROW_IS "ctid = $3 AND subscription IS NOT DISTINCT FROM $1 AND partition IS NOT DISTINCT FROM $2"

static Datum
row_array(const KafkaPlace *places, int nplaces)
{
	Datum	   *values = palloc((nplaces + 1) * sizeof(Datum));
	int			n = 0;

	for (int i = 0; i < nplaces; i++)
	{
		if (places[i].stored)
			values[n++] = PointerGetDatum(&places[i].row);
	}
	return PointerGetDatum(construct_array(values, n, TIDOID, sizeof(ItemPointerData), false,
										   TYPALIGN_SHORT));
}

/* Read the places of a subscription; with "rows", an array of tid, those there. */
static void
read_places(const KafkaAccess *access, KafkaSubscription *subscription, const Datum *rows)
{
	Oid			types[] = {INT4OID, TIDARRAYOID};
	Datum		values[] = {Int32GetDatum(subscription->id), rows ? *rows : (Datum) 0};

	kafka_access_execute(psprintf("SELECT partition::int8, next_offset, end_offset, "
								  "COALESCE(last_offset, -1), last_timestamp, last_hash, "
								  "unverified::int4::int8, ctid FROM %s.kafka_subscription_offset WHERE %s ORDER BY 1",
								  access->schema,
								  rows ? "ctid = ANY ($2) AND subscription IS NOT DISTINCT FROM $1"
								  : "subscription = $1"),
						 rows ? 2 : 1, types, values, NULL, SPI_OK_SELECT);
	subscription->nplaces = (int) SPI_processed;
	subscription->places = MemoryContextAllocZero(access->cxt,
												  (SPI_processed + 1) * sizeof(KafkaPlace));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		KafkaPlace *place = &subscription->places[i];
		bool		isnull;

		place->partition = (int32) kafka_access_int(i, 1);
		place->next = place->from = kafka_access_int(i, 2);
		place->end = kafka_access_int(i, 3);
		place->mark.offset = kafka_access_int(i, 4);
		place->mark.timestamp = kafka_access_int(i, 5);
		place->mark.hash = (uint64) kafka_access_int(i, 6);
		place->unverified = kafka_access_int(i, 7) != 0;
		place->row = *(ItemPointer) DatumGetPointer(kafka_access_column(i, 8, &isnull));
		place->stored = true;
	}
}

/* The same for those that are where they were; false if one is not. */
static bool
read_located(const KafkaAccess *access, KafkaSubscription *subscription, const KafkaPlace *places,
			 int nplaces)
{
	Datum		rows = row_array(places, nplaces);
	int			n = 0;

	read_places(access, subscription, &rows);
	for (int i = 0; i < nplaces; i++)
	{
		if (!places[i].stored)
			continue;
		if (n >= subscription->nplaces || subscription->places[n].partition != places[i].partition)
			return false;
		n++;
	}
	return n == subscription->nplaces;
}

List *
kafka_subscription_key_list(Datum array)
{
	List	   *list = NIL;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a column of the key must not be null")));
		list = lappend(list, TextDatumGetCString(values[i]));
	}
	return list;
}

static Datum
key_array(List *key, char *null)
{
	Datum	   *values = palloc(Max(list_length(key), 1) * sizeof(Datum));

	*null = key ? ' ' : 'n';
	if (key == NIL)
		return (Datum) 0;
	for (int i = 0; i < list_length(key); i++)
		values[i] = CStringGetTextDatum((char *) list_nth(key, i));
	return PointerGetDatum(construct_array(values, list_length(key), TEXTOID, -1, false,
										   TYPALIGN_INT));
}

static void
read_key(const KafkaAccess *access, KafkaSubscription *subscription, int column)
{
	bool		isnull;
	Datum		key = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
	MemoryContext old = MemoryContextSwitchTo(access->cxt);

	if (!isnull)
		subscription->key = kafka_subscription_key_list(key);
	MemoryContextSwitchTo(old);
}

/* The row that a condition on $1 finds; "places", where it is known that there are no others. */
static KafkaSubscription *
load(const char *condition, Oid type, Datum value, const KafkaPlace *places, int nplaces)
{
	KafkaAccess access = kafka_access_begin();
	KafkaSubscription *subscription = NULL;

	kafka_access_execute(psprintf("SELECT id::int8, name, owner::oid::int8, source::oid::int8, target::oid::int8, "
								  "command, search_path, (on_data_loss = 'error')::int4::int8, batch_size::int8, "
								  "batch_timeout::int8, workers::int8, state, system_identifier, "
								  "databaseid::int8, \"group\", (on_failure = 'dead_letter')::int4::int8, "
								  "(mode = 'upsert')::int4::int8, key "
								  "FROM %s.kafka_subscription WHERE %s = $1", access.schema, condition),
						 1, &type, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed > 0)
	{
		subscription = MemoryContextAllocZero(access.cxt, sizeof(KafkaSubscription));
		subscription->id = (int32) kafka_access_int(0, 1);
		subscription->name = kafka_access_text(&access, 0, 2);
		subscription->owner = (Oid) kafka_access_int(0, 3);
		subscription->source = (Oid) kafka_access_int(0, 4);
		subscription->target = (Oid) kafka_access_int(0, 5);
		subscription->command = kafka_access_text(&access, 0, 6);
		subscription->search_path = kafka_access_text(&access, 0, 7);
		subscription->loss_is_error = kafka_access_int(0, 8) != 0;
		subscription->batch_size = (int) kafka_access_int(0, 9);
		subscription->batch_timeout = (int) kafka_access_int(0, 10);
		subscription->workers = (int) kafka_access_int(0, 11);
		subscription->state = kafka_access_text(&access, 0, 12);
		subscription->fenced = kafka_access_int(0, 13) != (int64) GetSystemIdentifier() ||
			(Oid) kafka_access_int(0, 14) != MyDatabaseId;
		subscription->group = kafka_access_text(&access, 0, 15);
		subscription->dead_letters = kafka_access_int(0, 16) != 0;
		subscription->upsert = kafka_access_int(0, 17) != 0;
		read_key(&access, subscription, 18);
		if (places == NULL || !read_located(&access, subscription, places, nplaces))
			read_places(&access, subscription, NULL);
	}
	kafka_access_end(&access);
	return subscription;
}

KafkaSubscription *
kafka_subscription_find(const char *name)
{
	return load("name", TEXTOID, CStringGetTextDatum(name), NULL, 0);
}

KafkaSubscription *
kafka_subscription_get(int32 id)
{
	return load("id", INT4OID, Int32GetDatum(id), NULL, 0);
}

KafkaSubscription *
kafka_subscription_get_located(int32 id, const KafkaPlace *places, int nplaces)
{
	return load("id", INT4OID, Int32GetDatum(id), places, nplaces);
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

int32
kafka_subscription_insert(const KafkaNewSubscription *new)
{
	const KafkaSubscription *subscription = &new->subscription;
	Oid			types[] = {TEXTOID, OIDOID, OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID,
	TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, TEXTOID, INT8OID, OIDOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	KafkaAccess access = kafka_access_begin();
	int32		id;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(subscription->name);
	values[1] = ObjectIdGetDatum(subscription->owner);
	values[2] = ObjectIdGetDatum(subscription->source);
	values[3] = ObjectIdGetDatum(subscription->target);
	nulls[3] = OidIsValid(subscription->target) ? ' ' : 'n';
	values[4] = text_or_null(subscription->command, &nulls[4]);
	values[5] = CStringGetTextDatum(subscription->search_path);
	values[6] = CStringGetTextDatum(subscription->upsert ? "upsert" : "append");
	values[7] = key_array(subscription->key, &nulls[7]);
	values[8] = CStringGetTextDatum(new->on_failure);
	values[9] = CStringGetTextDatum(new->on_data_loss);
	values[10] = Int32GetDatum(subscription->batch_size);
	values[11] = Int32GetDatum(subscription->batch_timeout);
	values[12] = Int32GetDatum(subscription->workers);
	values[13] = text_or_null(subscription->group, &nulls[13]);
	values[14] = Int64GetDatum((int64) GetSystemIdentifier());
	values[15] = ObjectIdGetDatum(MyDatabaseId);
	kafka_access_execute(psprintf("INSERT INTO %s.kafka_subscription (id, name, owner, source, target, command, "
								  "search_path, mode, key, on_failure, on_data_loss, batch_size, batch_timeout, "
								  "workers, \"group\", state, system_identifier, databaseid) "
								  "VALUES (nextval(%s), $1, $2, $3, $4, $5, $6, $7, $8, $9, "
								  "$10, $11, $12, $13, $14, 'running', $15, $16) RETURNING id::int8",
								  access.schema,
								  quote_literal_cstr(psprintf("%s.kafka_subscription_id", access.schema))),
						 lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING);
	id = (int32) kafka_access_int(0, 1);
	kafka_access_end(&access);
	kafka_subscription_seek(id, subscription->places, subscription->nplaces, true);
	return id;
}

void
kafka_subscription_delete(int32 id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	KafkaAccess access = kafka_access_begin();

	/* In this order a worker locks rows that stops because of an error. */
	kafka_access_execute(psprintf("DELETE FROM %s.kafka_subscription WHERE id = $1", access.schema),
						 1, types, values, NULL, SPI_OK_DELETE);
	kafka_access_execute(psprintf("DELETE FROM %s.kafka_subscription_worker WHERE subscription = $1",
								  access.schema), 1, types, values, NULL, SPI_OK_DELETE);
	kafka_access_execute(psprintf("DELETE FROM %s.kafka_subscription_offset WHERE subscription = $1",
								  access.schema), 1, types, values, NULL, SPI_OK_DELETE);
	kafka_access_end(&access);
}

void
kafka_subscription_set_state(int32 id, const char *state)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), CStringGetTextDatum(state)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription SET state = $2 WHERE id = $1",
								  access.schema), 2, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_end(&access);
}

void
kafka_subscription_forget_errors(int32 id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription SET last_error = NULL, last_error_shown = NULL, "
								  "last_error_at = NULL WHERE id = $1", access.schema), 1, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_worker SET error = NULL, error_shown = NULL, "
								  "error_at = NULL WHERE subscription = $1 AND error IS NOT NULL", access.schema),
						 1, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_offset SET unverified = false, "
								  "last_offset = NULL, last_timestamp = NULL, last_hash = NULL "
								  "WHERE subscription = $1 AND unverified", access.schema),
						 1, types, values, NULL, SPI_OK_UPDATE);
	kafka_access_end(&access);
}

void
kafka_subscription_note_stop(int32 id, const char *error, const char *shown)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), CStringGetTextDatum(error),
	shown ? CStringGetTextDatum(shown) : (Datum) 0};
	KafkaAccess access = kafka_access_begin();

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription SET last_error = $2, last_error_shown = $3, last_error_at = now(), "
								  "state = CASE WHEN state = 'running' THEN 'stopped' ELSE state END "
								  "WHERE id = $1", access.schema),
						 3, types, values, shown ? NULL : "  n", SPI_OK_UPDATE);
	kafka_access_end(&access);
}

void
kafka_subscription_seek(int32 id, const KafkaPlace *places, int nplaces, bool all)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID, INT8OID};
	KafkaAccess access = kafka_access_begin();

	/* Partitions are numbered from 0 on without gaps. */
	if (all)
	{
		Datum		values[] = {Int32GetDatum(id), Int32GetDatum(nplaces)};

		kafka_access_execute(psprintf("DELETE FROM %s.kafka_subscription_offset "
									  "WHERE subscription = $1 AND partition >= $2", access.schema),
							 2, types, values, NULL, SPI_OK_DELETE);
	}

	for (int i = 0; i < nplaces; i++)
	{
		Datum		values[] = {Int32GetDatum(id), Int32GetDatum(places[i].partition),
		Int64GetDatum(places[i].next), Int64GetDatum(Max(places[i].end, places[i].next))};

		kafka_access_execute(psprintf("INSERT INTO %s.kafka_subscription_offset "
									  "(subscription, partition, next_offset, end_offset) VALUES ($1, $2, $3, $4) "
									  "ON CONFLICT (subscription, partition) DO UPDATE "
									  "SET next_offset = excluded.next_offset, end_offset = excluded.end_offset, "
									  "last_offset = NULL, last_timestamp = NULL, last_hash = NULL, unverified = false",
									  access.schema), 4, types, values, NULL, SPI_OK_INSERT);
	}
	kafka_access_end(&access);
}

/* What ROW_IS names: the first arguments of a statement that changes the row of a place. */
#define ROW_TYPES INT4OID, INT4OID, TIDOID
#define ROW_VALUES(id, place) \
	Int32GetDatum(id), Int32GetDatum((place)->partition), PointerGetDatum(&(place)->row)

/*
 * A statement has changed, or made, at most one row, and returns its ctid: if it did, that is where the
 * place is now.
 */
static bool
has_changed(KafkaFetcher *fetcher, int i)
{
	bool		isnull;

	if (SPI_processed != 1)
		return false;
	KafkaFetcherLocate(fetcher, i,
					   (ItemPointer) DatumGetPointer(kafka_access_column(0, 1, &isnull)));
	return true;
}

/* What a batch has done to a partition. */
typedef struct Advance
{
	int			i;				/* among the fetcher's places */
	int64		rows;
	bool		is_batch;
} Advance;

/* Store one partition's place; its mark stays where the batch had no message of it. */
static void
advance_place(const KafkaAccess *access, int32 id, KafkaFetcher *fetcher, const Advance *advance,
			  const KafkaMark *mark)
{
	int			nplaces;
	const KafkaPlace *place = &KafkaFetcherPlaces(fetcher, &nplaces)[advance->i];
	Oid			types[] = {ROW_TYPES, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum		values[] = {ROW_VALUES(id, place), Int64GetDatum(place->next),
		Int64GetDatum(KafkaFetcherPosition(fetcher, advance->i)), Int64GetDatum(advance->rows),
		Int64GetDatum(advance->is_batch ? 1 : 0), Int64GetDatum(mark->offset),
	Int64GetDatum(mark->timestamp), Int64GetDatum((int64) mark->hash)};
	bool		marked = mark->offset != KAFKA_NO_MARK;

	if (place->stored)
		kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_offset SET next_offset = $5, "
									  "end_offset = GREATEST(end_offset, $5), rows = rows + $6, "
									  "batches = batches + $7, last_success = now()%s "
									  "WHERE " ROW_IS " AND next_offset = $4 RETURNING ctid",
									  access->schema,
									  marked ? ", last_offset = $8, last_timestamp = $9, last_hash = $10, "
									  "unverified = false" : ""),
							 marked ? 10 : 7, types, values, NULL, SPI_OK_UPDATE_RETURNING);
	else
		kafka_access_execute(psprintf("INSERT INTO %s.kafka_subscription_offset "
									  "(subscription, partition, next_offset, end_offset, rows, batches, last_success%s) "
									  "SELECT $1, $2, $5, GREATEST($4, $5), $6, $7, now()%s "
									  "ON CONFLICT DO NOTHING RETURNING ctid", access->schema,
									  marked ? ", last_offset, last_timestamp, last_hash" : "",
									  marked ? ", $8, $9, $10" : ""),
							 marked ? 10 : 7, types, values, NULL, SPI_OK_INSERT_RETURNING);
	if (!has_changed(fetcher, advance->i))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the subscription's offsets have been changed meanwhile"),
				 errdetail("Partition %d was expected to be at offset " INT64_FORMAT ".",
						   place->partition, place->next)));
}

void
kafka_subscription_advance(int32 id, KafkaFetcher *fetcher, const KafkaIngestBatch *batch,
						   int64 rows)
{
	KafkaAccess access = kafka_access_begin();
	int			nplaces;
	const KafkaPlace *places = KafkaFetcherPlaces(fetcher, &nplaces);
	Advance    *advances = palloc((nplaces + 1) * sizeof(Advance));
	int32	   *partitions = palloc((nplaces + 1) * sizeof(int32));
	KafkaMark  *marks = palloc((nplaces + 1) * sizeof(KafkaMark));
	int			n = 0;

	for (int i = 0; i < nplaces; i++)
	{
		if (KafkaFetcherPosition(fetcher, i) == places[i].next && places[i].stored)
			continue;
		advances[n].i = i;
		/* counted once */
		advances[n].rows = n == 0 ? rows : 0;
		advances[n].is_batch = n == 0 && KafkaIngestBatchCount(batch) > 0;
		partitions[n++] = places[i].partition;
	}
	KafkaIngestMarks(batch, partitions, marks, n);
	for (int i = 0; i < n; i++)
		advance_place(&access, id, fetcher, &advances[i], &marks[i]);
	kafka_access_end(&access);
}

void
kafka_subscription_note_unverified(const KafkaSubscription *subscription, KafkaFetcher *fetcher)
{
	KafkaAccess access = kafka_access_begin();
	int			nplaces;
	const KafkaPlace *places = KafkaFetcherPlaces(fetcher, &nplaces);

	/* Both are ascending, and what the catalogue has the fetcher has, too. */
	for (int i = 0, j = 0; i < nplaces && j < subscription->nplaces; i++)
	{
		Oid			types[] = {ROW_TYPES, INT8OID, BOOLOID};
		Datum		values[] = {ROW_VALUES(subscription->id, &places[i]),
		Int64GetDatum(places[i].mark.offset), BoolGetDatum(places[i].unverified)};

		if (places[i].partition != subscription->places[j].partition)
			continue;
		if (places[i].unverified != subscription->places[j].unverified)
		{
			kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_offset SET unverified = $5 "
										  "WHERE " ROW_IS " AND last_offset = $4 RETURNING ctid",
										  access.schema), 5, types, values, NULL, SPI_OK_UPDATE_RETURNING);
			(void) has_changed(fetcher, i);
		}
		j++;
	}
	kafka_access_end(&access);
}

void
kafka_subscription_store_ends(int32 id, KafkaFetcher *fetcher)
{
	KafkaAccess access = kafka_access_begin();
	int			nplaces;
	const KafkaPlace *places = KafkaFetcherPlaces(fetcher, &nplaces);

	for (int i = 0; i < nplaces; i++)
	{
		Oid			types[] = {ROW_TYPES, INT8OID};
		Datum		values[] = {ROW_VALUES(id, &places[i]), Int64GetDatum(places[i].end)};

		kafka_access_execute(psprintf("UPDATE %s.kafka_subscription_offset SET end_offset = $4 "
									  "WHERE " ROW_IS " AND end_offset <> $4 RETURNING ctid",
									  access.schema), 4, types, values, NULL, SPI_OK_UPDATE_RETURNING);
		(void) has_changed(fetcher, i);
	}
	kafka_access_end(&access);
}

uint64
KafkaSubscriptionAdopt(void)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {Int64GetDatum((int64) GetSystemIdentifier()),
	ObjectIdGetDatum(MyDatabaseId)};
	KafkaAccess access = kafka_access_begin();
	uint64		nadopted;

	kafka_access_execute(psprintf("UPDATE %s.kafka_subscription SET system_identifier = $1, databaseid = $2 "
								  "WHERE system_identifier <> $1 OR databaseid <> $2 "
								  "RETURNING id::int8, name, CASE WHEN state = 'running' THEN workers ELSE 0 END::int8",
								  access.schema), 2, types, values, NULL, SPI_OK_UPDATE_RETURNING);
	nadopted = SPI_processed;
	for (uint64 i = 0; i < nadopted; i++)
	{
		kafka_subscription_start_at_commit((int32) kafka_access_int(i, 1),
										   kafka_access_text(&access, i, 2),
										   (int) kafka_access_int(i, 3));
	}
	kafka_access_end(&access);
	return nadopted;
}
