/*
 * option_validator.c
 *		Options at CREATE and ALTER: whether an object may have them, whether the role may set them,
 *		and whether their values can be used.
 *
 * PostgreSQL hands over an object's whole new list of options, at ALTER too, without saying which
 * of them changed. So a role that may not set one of them may not alter the others either: with
 * another address in bootstrap_servers, a key that a superuser put there would be used for a host
 * of the role's choice.
 *
 * No name gets near librdkafka before the property table allowed it, no credential and no file
 * name gets there at all.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "connection_check.h"
#include "option_private.h"

/* What an object sets, as it is gathered. */
typedef struct Validation
{
	KafkaObject object;
	KafkaServer *server;
	KafkaTable *table;
	KafkaColumn column;
	const char *column_option;	/* that gave the column its meaning */
	char	  **values;			/* of properties, by their place in the table */
	const char **names;			/* and the options that set them, as they are spelt */
} Validation;

PG_FUNCTION_INFO_V1(kafka_fdw_validator);

/* ------------------------------------------------------------------------
 * Names
 * ------------------------------------------------------------------------ */

static const char *
object_name(KafkaObject object)
{
	switch (object)
	{
		case KAFKA_OBJECT_SERVER:
			return "a server";
		case KAFKA_OBJECT_MAPPING:
			return "a user mapping";
		case KAFKA_OBJECT_TABLE:
			return "a foreign table";
		case KAFKA_OBJECT_COLUMN:
			return "a column";
	}
	return "a foreign-data wrapper";
}

/* "a server or a foreign table" */
static char *
objects_to_string(int objects)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int object = KAFKA_OBJECT_SERVER; object <= KAFKA_OBJECT_COLUMN; object <<= 1)
	{
		if (objects & object)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? " or " : "", object_name(object));
	}
	return buf.data;
}

/* Every name that an object can have, in one sentence; servers have too many for that. */
static char *
names_to_string(KafkaObject object)
{
	StringInfoData buf;
	ListCell   *lc;

	if (object == KAFKA_OBJECT_NONE)
		return "A foreign-data wrapper has no options; servers, user mappings, foreign tables and "
			"columns have.";
	if (object == KAFKA_OBJECT_SERVER)
		return "A server has its own options and librdkafka's properties, which are written with "
			"underscores for their dots.";
	initStringInfo(&buf);
	foreach(lc, kafka_option_names(object, false))
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", (char *) lfirst(lc));
	return psprintf("The options of %s are %s.", object_name(object), buf.data);
}

/* Which option may have been meant by one that the object does not have. */
static char *
suggestion(const char *name, KafkaObject object)
{
	bool		dotted = strchr(name, '.') != NULL;
	int			objects = kafka_option_objects(name);
	const char *nearest;

	if (objects != KAFKA_OBJECT_NONE)
		return psprintf("It is an option of %s.", objects_to_string(objects));
	if (object != KAFKA_OBJECT_NONE)
	{
		nearest = KafkaOptionNearest(name, kafka_option_names(object, dotted));
		if (nearest != NULL)
			return psprintf("Perhaps you meant the option \"%s\".", nearest);
	}
	for (int other = KAFKA_OBJECT_SERVER; other <= KAFKA_OBJECT_COLUMN; other <<= 1)
	{
		nearest = KafkaOptionNearest(name, kafka_option_names(other, dotted));
		if (nearest != NULL)
			return psprintf("Perhaps you meant \"%s\", an option of %s.", nearest,
							objects_to_string(kafka_option_objects(nearest)));
	}
	return names_to_string(object);
}

/* Refuse an option that the object cannot have. */
pg_noreturn static void
report_name(const char *name, KafkaObject object)
{
	const KafkaPropertyInfo *property;

	(void) KafkaPropertyFind(name, &property);
	if (property != NULL && property->class == KAFKA_CLASS_D && property->values != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" is fixed by kafka_fdw", name),
				 errdetail("Its value is \"%s\".", property->values)));
	if (property != NULL && property->class == KAFKA_CLASS_D)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" is not allowed", name),
				 errdetail("This property of librdkafka cannot be set from SQL.")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\" for %s", name, object_name(object)),
			 errhint("%s", suggestion(name, object))));
}

/* ------------------------------------------------------------------------
 * Rights
 * ------------------------------------------------------------------------ */

/* ERROR where a property, or this value of it, is not the current role's to set. */
static void
check_rights(const KafkaOption *option, const char *value)
{
	const KafkaPropertyInfo *property = option->property;

	if (property->class == KAFKA_CLASS_C_FILE)
	{
		/* librdkafka looks in the places where systems keep their authorities' certificates. */
		if (strcmp(property->name, "ssl.ca.location") == 0 && strcmp(value, "probe") == 0)
			return;
		if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", option->name),
					 errdetail("Only a role with privileges of \"%s\" may set an option that names "
							   "a file of the server, or alter an object that has one.",
							   "pg_read_server_files")));
	}

	if (superuser())
		return;
	if (property->class == KAFKA_CLASS_C_SUPER)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", option->name),
				 errdetail("Only a superuser may set it, or alter an object that has it.")));

	/* They use what belongs to the server's operating system user, or URLs. */
	if (strcmp(property->name, "sasl.mechanisms") == 0 &&
		(strcmp(value, "GSSAPI") == 0 || strcmp(value, "OAUTHBEARER") == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\" to \"%s\"", option->name, value),
				 errdetail("Only a superuser may set it to that, or alter an object that has it."),
				 errhint("Other mechanisms are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.")));
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------ */

/*
 * Ask librdkafka. It gets a stand-in for secrets and names of files, which it has nothing to say
 * about, to learn whether it was built with the property.
 */
static void
check_by_librdkafka(const KafkaOption *option, const char *value)
{
	const KafkaPropertyInfo *property = option->property;
	char	   *problem;

	if (property->class == KAFKA_CLASS_B || property->class == KAFKA_CLASS_C_FILE)
		value = "x";
	problem = KafkaConnectionCheckProperty(property->name, value);
	if (problem == NULL)
		return;
	if (strstr(problem, "not supported in this build") != NULL ||
		strncmp(problem, "Unsupported value", 17) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this server's librdkafka does not support option \"%s\"", option->name),
				 errdetail("%s.", problem)));
	kafka_value_error(option, psprintf("%s.", problem),
					  property->values ? psprintf("Valid values are %s.", property->values) : NULL);
}

/* What leaves a connection open to a man in the middle is allowed, but not in silence. */
static void
warn_if_weak(const KafkaOption *option, const char *value)
{
	const char *name = option->property->name;

	if ((strcmp(name, "enable.ssl.certificate.verification") == 0 &&
		 strcmp(value, "false") == 0) ||
		(strcmp(name, "ssl.endpoint.identification.algorithm") == 0 &&
		 pg_strcasecmp(value, "none") == 0))
		ereport(WARNING,
				(errmsg("option \"%s\" turns off a check of the brokers' identity", option->name),
				 errdetail("Whoever can redirect the connection can read and change what is sent "
						   "over it, credentials included.")));
}

static void
check_property(const KafkaOption *option)
{
	char	   *value = kafka_value_property(option);

	check_rights(option, value);
	check_by_librdkafka(option, value);
	warn_if_weak(option, value);
}

/* A second spelling or another name of what is set already. PostgreSQL sees to the same spelling. */
static void
check_once(Validation *v, const KafkaOption *option)
{
	int			count;
	int			i = option->property - KafkaPropertyTable(&count);

	if (v->names[i] != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("options \"%s\" and \"%s\" are the same option", v->names[i],
						option->name)));
	v->names[i] = option->name;
}

static void
check_option(Validation *v, DefElem *def)
{
	KafkaOption option;

	if (!kafka_option_lookup(def->defname, defGetString(def), v->object, &option))
		report_name(def->defname, v->object);
	option.creating = true;

	if (option.id == KAFKA_OPTION_PROPERTY)
		check_once(v, &option);
	switch (v->object)
	{
		case KAFKA_OBJECT_SERVER:
		case KAFKA_OBJECT_MAPPING:
			kafka_option_apply_server(v->server, &option, v->values);
			break;
		case KAFKA_OBJECT_TABLE:
			kafka_option_apply_table(v->table, &option, v->values);
			break;
		case KAFKA_OBJECT_COLUMN:
			kafka_option_apply_column(&v->column, &option, &v->column_option);
			break;
	}
	if (option.id == KAFKA_OPTION_PROPERTY)
		check_property(&option);
}

/* ------------------------------------------------------------------------
 * Options together
 * ------------------------------------------------------------------------ */

static const char *
property_value(const Validation *v, const char *name)
{
	int			count;
	const KafkaPropertyInfo *table = KafkaPropertyTable(&count);
	const KafkaPropertyInfo *property;

	(void) KafkaPropertyFind(name, &property);
	return v->values[property - table];
}

/* A number that is set, or what holds where it is not. */
static double
property_number(const Validation *v, const char *name, double otherwise)
{
	const char *value = property_value(v, name);

	return value ? strtod(value, NULL) : otherwise;
}

/* ERROR where one property is less than another has it to be. */
static void
require_at_least(double value, const char *name, double least, const char *because)
{
	if (value < least)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("option \"%s\" must be at least %.15g", name, least),
				 errdetail("Option \"%s\" requires that.", because)));
}

/*
 * What librdkafka would refuse only when a handle is made. Where an option is not set, the default
 * that counts is ours (connection_conf.c), or librdkafka's.
 */
static void
check_numbers(const Validation *v)
{
	double		message = property_number(v, "message.max.bytes", 1000000);
	double		fetch = property_number(v, "fetch.max.bytes", 0);
	double		queued = property_number(v, "queued.max.messages.kbytes", 16384);

	if (property_value(v, "fetch.max.bytes") != NULL)
		require_at_least(fetch, "fetch_max_bytes", message, "message_max_bytes");
	else
		fetch = Max(Min(50 * 1024 * 1024, queued * 1024), message);
	if (property_value(v, "receive.message.max.bytes") != NULL)
		require_at_least(property_number(v, "receive.message.max.bytes", 0),
						 "receive_message_max_bytes", fetch + 512, "fetch_max_bytes");
	require_at_least(property_number(v, "reconnect.backoff.max.ms", 1000),
					 "reconnect_backoff_max_ms",
					 property_number(v, "reconnect.backoff.ms", 50), "reconnect_backoff_ms");
	require_at_least(property_number(v, "message.send.max.retries", 1), "retries", 1,
					 "enable.idempotence");
	if (v->server->message_timeout <= property_number(v, "queue.buffering.max.ms", 0))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("option \"%s\" must be greater than \"%s\"", "message_timeout_ms",
						"linger_ms")));
}

/* What a server needs, and what its options need of each other. */
static void
check_server(const Validation *v)
{
	const char *protocol = property_value(v, "security.protocol");

	if (property_value(v, "bootstrap.servers") == NULL &&
		property_value(v, "metadata.broker.list") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"%s\" is required for a server of kafka_fdw", "bootstrap_servers"),
				 errhint("It lists brokers of the cluster, as in OPTIONS (bootstrap_servers "
						 "'localhost:9092').")));

	/* librdkafka's own default would be GSSAPI. */
	if (protocol != NULL && pg_strncasecmp(protocol, "sasl", 4) == 0 &&
		property_value(v, "sasl.mechanisms") == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"%s\" is required with security protocol \"%s\"",
						"sasl_mechanism", protocol)));
	check_numbers(v);
}

static KafkaObject
object_of_catalog(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return KAFKA_OBJECT_SERVER;
		case UserMappingRelationId:
			return KAFKA_OBJECT_MAPPING;
		case ForeignTableRelationId:
			return KAFKA_OBJECT_TABLE;
		case AttributeRelationId:
			return KAFKA_OBJECT_COLUMN;
	}
	return KAFKA_OBJECT_NONE;
}

/* Called with the whole list of options that an object is to have. */
Datum
kafka_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Validation	v = {0};
	ListCell   *lc;

	v.object = object_of_catalog(PG_GETARG_OID(1));
	v.server = palloc0(sizeof(KafkaServer));
	v.table = palloc0(sizeof(KafkaTable));
	v.table->server = v.server;
	v.values = kafka_option_make_values();
	v.names = (const char **) kafka_option_make_values();
	kafka_option_server_defaults(v.server);

	foreach(lc, options)
		check_option(&v, lfirst(lc));
	if (v.object == KAFKA_OBJECT_SERVER)
		check_server(&v);
	if (v.object == KAFKA_OBJECT_TABLE)
		kafka_option_check_format(v.table, options);
	PG_RETURN_VOID();
}
