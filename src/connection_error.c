/*
 * connection_error.c
 *		librdkafka's and the broker's errors in PostgreSQL's terms.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "connection.h"
#include "connection_private.h"

/*
 * Classes as docs/errors.md has them: network 08xxx, credentials 28000, ACL 42501, and so on. The
 * broker's error codes are those of the Kafka protocol guide ("Error codes").
 */
int
KafkaConnectionSqlState(rd_kafka_resp_err_t err)
{
	switch ((int) err)
	{
		case RD_KAFKA_RESP_ERR__RESOLVE:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		case RD_KAFKA_RESP_ERR__SSL:
			return ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
		case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
		case RD_KAFKA_RESP_ERR__WAIT_CACHE:
		case RD_KAFKA_RESP_ERR__NOENT:	/* "No leaders found" */
		case KAFKA_ERR_BROKER_LEFT:
		case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
		case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
		case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
		case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
		case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
		case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
			return ERRCODE_CONNECTION_FAILURE;
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
			return ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
			return ERRCODE_UNDEFINED_TABLE;
		case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
			return ERRCODE_DUPLICATE_TABLE;
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
			return ERRCODE_INVALID_NAME;
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
		case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
		case RD_KAFKA_RESP_ERR_INVALID_REPLICA_ASSIGNMENT:
		case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
		case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
		case RD_KAFKA_RESP_ERR__INVALID_ARG:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
			return ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
		case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
		case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
			return ERRCODE_INSUFFICIENT_RESOURCES;
		case RD_KAFKA_RESP_ERR__QUEUE_FULL:
			return ERRCODE_OUT_OF_MEMORY;
		case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		case RD_KAFKA_RESP_ERR__BAD_MSG:
		case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
		case RD_KAFKA_RESP_ERR__UNDERFLOW:
		case RD_KAFKA_RESP_ERR_INVALID_MSG:
			return ERRCODE_DATA_CORRUPTED;
		default:
			return ERRCODE_FDW_ERROR;
	}
}

bool
KafkaConnectionErrorPasses(rd_kafka_resp_err_t err)
{
	switch ((int) err)
	{
		case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
		case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
		case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
		case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
		case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
		case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
		case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
		case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:	/* of those that it has tried so far */
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
		case RD_KAFKA_RESP_ERR__WAIT_CACHE:
		case RD_KAFKA_RESP_ERR__NOENT:
		case KAFKA_ERR_BROKER_LEFT:
			return true;
		default:
			return false;
	}
}

/* Text from a broker goes into messages and a view, so it has to be text of the database. */
void
kafka_clean_text(char *text)
{
	bool		valid = GetDatabaseEncoding() == PG_UTF8 &&
		pg_verify_mbstr(PG_UTF8, text, strlen(text), true);

	for (char *c = text; *c != '\0'; c++)
	{
		if (IS_HIGHBIT_SET(*c) ? !valid : ((unsigned char) *c < ' ' || *c == 0x7f))
			*c = '?';
	}
}

char *
KafkaConnectionCause(KafkaHandle *handle, rd_kafka_resp_err_t err, const char *errstr)
{
	char	   *text = pstrdup(errstr && errstr[0] ? errstr : rd_kafka_err2str(err));
	size_t		len = strlen(text);

	while (len > 0 && (text[len - 1] == '.' || text[len - 1] == '\n'))
		text[--len] = '\0';
	kafka_clean_text(text);
	if (handle == NULL || handle->broker_errstr[0] == '\0' ||
		strcmp(handle->broker_errstr, text) == 0)
		return text;
	if (err == handle->broker_err)
		return pstrdup(handle->broker_errstr);
	return psprintf("%s; the broker connection last said: %s", text, handle->broker_errstr);
}

const char *
KafkaConnectionHint(rd_kafka_resp_err_t err)
{
	switch (KafkaConnectionSqlState(err))
	{
		case ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION:
		case ERRCODE_CONNECTION_FAILURE:
			return "Check the server's options bootstrap_servers and security_protocol, and that the "
				"brokers run and can be reached under the names they advertise; metadata_timeout "
				"says how long to try.";
		case ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION:
			return "Check the credentials in the user mapping (a password, or a certificate with "
				"its key), and the server's options security_protocol and sasl_mechanism.";
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return "The cluster's ACLs refuse this to the user of the user mapping.";
		default:
			return NULL;
	}
}

void
kafka_raise_no_descriptor(const KafkaServer *server)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("could not create an event descriptor for server \"%s\": %m", server->name),
			 errhint("Each scan that is under way has a connection of its own. Have fewer at a time, "
					 "or raise max_files_per_process and the system's limit of open files.")));
}

void
kafka_raise_fatal(KafkaHandle *handle)
{
	const char *hint = KafkaConnectionHint(handle->fatal_err);

	ereport(ERROR,
			(errcode(KafkaConnectionSqlState(handle->fatal_err)),
			 errmsg("could not connect to Kafka server \"%s\"", handle->server_name),
			 errdetail_internal("%s.", KafkaConnectionCause(handle, handle->fatal_err, NULL)),
			 hint ? errhint("%s", hint) : 0));
}
