/*
 * option_access.c
 *		What a role may reach: the server that a function is to use, the topics of a server.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "lib/stringinfo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "option_private.h"
#include "setting.h"

#define HANDLER "kafka_fdw_handler"

/*
 * True where a foreign-data wrapper is ours: its handler is our C function, whatever the wrapper is
 * called. Only superusers make such functions. Asking the handler itself would load the libraries
 * of all other wrappers.
 */
static bool
is_our_wrapper(Oid fdwid)
{
	ForeignDataWrapper *fdw = GetForeignDataWrapper(fdwid);
	HeapTuple	tuple;
	Datum		source;
	bool		isnull;
	bool		ours = false;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fdw->fdwhandler));
	if (!HeapTupleIsValid(tuple))
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	if (!isnull && ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
		ours = strcmp(TextDatumGetCString(source), HANDLER) == 0;
	ReleaseSysCache(tuple);
	return ours;
}

bool
KafkaOptionIsTable(Oid relid)
{
	ForeignServer *server;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return false;
	server = GetForeignServer(GetForeignTable(relid)->serverid);
	return is_our_wrapper(server->fdwid);
}

/* Our servers that the role may use: their names in order, and the last one's OID. */
static List *
usable_servers(Oid userid, Oid *serverid)
{
	List	   *names = NIL;
	Relation	rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (kafka_server_aclcheck(form->oid, userid, ACL_USAGE) == ACLCHECK_OK &&
			is_our_wrapper(form->srvfdw))
		{
			names = lappend(names, pstrdup(NameStr(form->srvname)));
			*serverid = form->oid;
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return names;
}

/*
 * The server of this name, which has to be one of ours that the role may use. "setting": it is one that
 * says so, and not the caller.
 */
static Oid
named_server(const char *name, Oid userid, const char *setting)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	AclResult	result;

	if (server == NULL)
	{
		Oid			serverid;
		const char *nearest = KafkaOptionNearest(name, usable_servers(userid, &serverid));

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server \"%s\" does not exist", name),
				 setting ? errdetail("The setting \"%s\" names it.", setting) : 0,
				 nearest ? errhint("Perhaps you meant the server \"%s\".", nearest) : 0));
	}
	result = kafka_server_aclcheck(server->serverid, userid, ACL_USAGE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, name);
	if (!is_our_wrapper(server->fdwid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a server of kafka_fdw", name),
				 setting ? errdetail("The setting \"%s\" names it.", setting) : 0));
	return server->serverid;
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* The only one of our servers that the role may use; hint is how to say which, where there are more. */
static Oid
only_server(Oid userid, const char *hint)
{
	Oid			serverid = InvalidOid;
	List	   *names;
	ListCell   *lc;
	StringInfoData list;

	names = usable_servers(userid, &serverid);
	if (list_length(names) == 1)
		return serverid;
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
				 errmsg("there is no server of kafka_fdw that role \"%s\" may use",
						GetUserNameFromId(userid, false)),
				 errhint("Use CREATE SERVER to make one, or GRANT USAGE ON FOREIGN SERVER.")));

	list_sort(names, compare_names);
	initStringInfo(&list);
	foreach(lc, names)
		appendStringInfo(&list, "%s\"%s\"", lc == list_head(names) ? "" : ", ",
						 (char *) lfirst(lc));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("more than one server of kafka_fdw could be meant"),
			 errdetail("Role \"%s\" may use %s.", GetUserNameFromId(userid, false), list.data),
			 errhint("%s", hint)));
}

Oid
KafkaOptionChooseServer(const char *name, Oid userid)
{
	if (name != NULL)
		return named_server(name, userid, NULL);
	if (kafka_default_server != NULL && kafka_default_server[0] != '\0')
		return named_server(kafka_default_server, userid, "kafka_fdw.default_server");
	return only_server(userid, "Name the server, or set \"kafka_fdw.default_server\".");
}

Oid
KafkaOptionOnlyServer(const char *name, Oid userid)
{
	if (name != NULL)
		return named_server(name, userid, NULL);
	return only_server(userid, "Name the server.");
}

/* True where a name matches a pattern with * and ?. */
static bool
matches(const char *name, const char *pattern)
{
	const char *star = NULL;	/* the last * seen ... */
	const char *retry = NULL;	/* ... and where in the name it ends for now */

	while (*name != '\0')
	{
		if (*pattern == '*')
		{
			star = pattern++;
			retry = name;
		}
		else if (*pattern == '?' || *pattern == *name)
		{
			pattern++;
			name++;
		}
		else if (star != NULL)
		{
			pattern = star + 1;
			name = ++retry;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
KafkaOptionTopicAllowed(const KafkaServer *server, const char *topic)
{
	ListCell   *lc;

	foreach(lc, server->allowed_topics)
	{
		if (matches(topic, lfirst(lc)))
			return true;
	}
	return server->allowed_topics == NIL;
}

void
KafkaOptionCheckTopic(const KafkaServer *server, const char *topic)
{
	const char *problem = kafka_topic_name_problem(topic);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a topic: \"%s\"", topic),
				 errdetail_internal("%s", problem)));
	if (!KafkaOptionTopicAllowed(server, topic))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("topic \"%s\" is not among the allowed topics of server \"%s\"", topic,
						server->name)));
}
