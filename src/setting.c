/*
 * setting.c
 *		Server settings (GUCs), and the checks that every entry point makes.
 *
 * kafka_fdw.mode can only be set for the whole server (PGC_SIGHUP): whoever forbids sends there,
 * for a clone or a restore, must be sure that no session has set it back for itself.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "module.h"
#include "setting.h"

/* The largest number below which a double has every integer. */
#define MAX_MESSAGES 9007199254740992.0

int			kafka_mode = KAFKA_MODE_ON;
char	   *kafka_default_server = NULL;
double		kafka_max_scan_messages = 0;
int			kafka_max_timeout = 3600 * 1000;
int			kafka_max_buffer_size = 1024 * 1024;
int			kafka_max_pending_size = 64 * 1024;
int			kafka_outbox_max_size = 10 * 1024 * 1024;
int			kafka_outbox_when_full = ERROR;
int			kafka_outbox_segment_size = 64 * 1024;
int			kafka_relay_naptime = 5000;
int			kafka_relay_linger = 20;

static const struct config_enum_entry mode_names[] = {
	{"on", KAFKA_MODE_ON, false},
	{"read_only", KAFKA_MODE_READ_ONLY, false},
	{"off", KAFKA_MODE_OFF, false},
	{"true", KAFKA_MODE_ON, true},
	{"yes", KAFKA_MODE_ON, true},
	{"1", KAFKA_MODE_ON, true},
	{"false", KAFKA_MODE_OFF, true},
	{"no", KAFKA_MODE_OFF, true},
	{"0", KAFKA_MODE_OFF, true},
	{NULL, 0, false}
};

static const struct config_enum_entry when_full_names[] = {
	{"error", ERROR, false},
	{"warning", WARNING, false},
	{NULL, 0, false}
};

/* Define the settings; the prefix is closed afterwards, so that a misspelt one is an error. */
void
KafkaSettingInit(void)
{
	DefineCustomEnumVariable("kafka_fdw.mode",
							 "Sets what this server may do with Kafka.",
							 "\"read_only\" refuses sends and changes of the cluster, \"off\" all "
							 "contact with Kafka.",
							 &kafka_mode, KAFKA_MODE_ON, mode_names,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("kafka_fdw.default_server",
							   "Sets the foreign server for functions that are not told one.",
							   "Where it is empty, that is the only server of kafka_fdw that the "
							   "role may use.",
							   &kafka_default_server, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);

	/* A number of messages does not fit an integer setting. */
	DefineCustomRealVariable("kafka_fdw.max_scan_messages",
							 "Sets the number of messages above which a scan is refused before it "
							 "fetches.",
							 "Zero: no scan is refused.",
							 &kafka_max_scan_messages, 0, 0, MAX_MESSAGES,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.max_timeout",
							"Sets the longest timeout that an option of a server or table may set.",
							"Options that ask for more are refused; where they are set already, "
							"this holds.",
							&kafka_max_timeout, 3600 * 1000, 1000, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.max_buffer_size",
							"Sets the largest buffer or message size that an option of a server "
							"may set.",
							"Options that ask for more are refused; where they are set already, "
							"this holds.",
							&kafka_max_buffer_size, 1024 * 1024, 16 * 1024, INT_MAX,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.max_pending_size",
							"Sets how much a transaction may hold of messages that are sent when it "
							"commits.",
							"A transaction that would hold more fails.",
							&kafka_max_pending_size, 64 * 1024, 64, INT_MAX,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.outbox_max_size",
							"Sets the size of the outbox above which it counts as full.",
							"What was sent counts too, until its table is emptied.",
							&kafka_outbox_max_size, 10 * 1024 * 1024, 1024, INT_MAX,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomEnumVariable("kafka_fdw.outbox_when_full",
							 "Sets whether a message for a full outbox is an error or a warning.",
							 NULL,
							 &kafka_outbox_when_full, ERROR, when_full_names,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.outbox_segment_size",
							"Sets the size at which the outbox goes on in another table.",
							"A table whose messages have all been sent is emptied.",
							&kafka_outbox_segment_size, 64 * 1024, 64, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.relay_naptime",
							"Sets how often a relay looks for messages that it was not woken for.",
							NULL,
							&kafka_relay_naptime, 5000, 100, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("kafka_fdw.relay_linger",
							"Sets how much time there is at least between two small batches of a relay.",
							"Messages gather meanwhile; one that comes after a pause is sent at once.",
							&kafka_relay_linger, 20, 0, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	MarkGUCPrefixReserved("kafka_fdw");
}

void
KafkaSettingCheckRead(void)
{
	if (kafka_mode == KAFKA_MODE_OFF)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot contact Kafka while \"kafka_fdw.mode\" is \"off\"")));
}

/*
 * Recovery first: a standby's transactions are read-only as well, and that would be the less
 * helpful thing to say.
 */
void
KafkaSettingCheckWrite(const char *what)
{
	if (kafka_mode != KAFKA_MODE_ON)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot execute %s while \"kafka_fdw.mode\" is \"%s\"", what,
						kafka_mode == KAFKA_MODE_OFF ? "off" : "read_only")));
	PreventCommandDuringRecovery(what);
	PreventCommandIfReadOnly(what);
}
