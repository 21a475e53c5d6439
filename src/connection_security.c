/*
 * connection_security.c
 *		What it takes to be let in by a broker, and why one was not.
 *
 * librdkafka's calls say only that a broker could not be reached. The reason is in an error event of
 * the handle's main queue, and for a certificate that was not accepted only in its log. Both are
 * noted in the handle here, as they are served. Some reasons pass (a broker that is starting), and
 * librdkafka tries again; others do not, and whoever waits is told at once ("fatal_err").
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connection.h"
#include "connection_private.h"
#include "property.h"

/* librdkafka's versions that mended what is worked around, or warned of, below. */
#define TOKENS_RENEWED_SINCE 0x02020000
#define SCRAM_NONCE_MENDED 0x02060100

/* A connection that ended so soon has not been any good. */
#define AT_ONCE_MS 2000

/* A token that need not be renewed: ten years, in seconds. */
#define TOKEN_LIFE " lifeSeconds=315360000"

/* ------------------------------------------------------------------------
 * Before a handle is made
 * ------------------------------------------------------------------------ */

static const char *
property_value(const KafkaServer *server, const char *name)
{
	ListCell   *lc;

	foreach(lc, server->properties)
	{
		KafkaProperty *property = (KafkaProperty *) lfirst(lc);

		if (strcmp(property->name, name) == 0)
			return property->value;
	}
	return NULL;
}

static bool
has_value(const KafkaServer *server, const char *name, const char *value)
{
	const char *set = property_value(server, name);

	return set != NULL && (value == NULL ? set[0] != '\0' : strcmp(set, value) == 0);
}

/* True where librdkafka makes tokens for OAUTHBEARER itself, without a signature. */
static bool
makes_tokens(const KafkaServer *server)
{
	return has_value(server, "sasl.mechanisms", "OAUTHBEARER") &&
		has_value(server, "enable.sasl.oauthbearer.unsecure.jwt", "true");
}

void
kafka_check_credentials(const KafkaServer *server)
{
	const char *protocol = property_value(server, "security.protocol");
	const char *mechanism = property_value(server, "sasl.mechanisms");

	if (protocol == NULL || strncmp(protocol, "sasl", 4) != 0 || mechanism == NULL)
		return;
	if (strcmp(mechanism, "OAUTHBEARER") == 0)
	{
		if (!makes_tokens(server) && !has_value(server, "sasl.oauthbearer.method", "oidc"))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					 errmsg("could not connect to Kafka server \"%s\"", server->name),
					 errdetail("Nothing says where the token for \"%s\" comes from.", mechanism),
					 errhint("Set the server's option sasl_oauthbearer_method to \"oidc\", or for "
							 "tests enable_sasl_oauthbearer_unsecure_jwt to true.")));
	}
	else if (strcmp(mechanism, "GSSAPI") != 0 &&
			 (!has_value(server, "sasl.username", NULL) || !has_value(server, "sasl.password", NULL)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("could not connect to Kafka server \"%s\"", server->name),
				 errdetail("Role \"%s\" has no user mapping with sasl_username and sasl_password.",
						   GetUserNameFromId(server->userid, false)),
				 errhint("Use CREATE USER MAPPING or ALTER USER MAPPING, for the role or for "
						 "PUBLIC.")));
}

/*
 * The configuration for the tokens that librdkafka makes itself. Before 2.2 it crashed when it came
 * to renew one (its queue for that is only set up for applications that make the tokens), so one is
 * made that lasts. Nobody is less safe for it: a token without a signature can be made by anybody.
 */
char *
kafka_token_config(const KafkaServer *server, const char *config)
{
	if (!makes_tokens(server))
		return pstrdup(config);
	if (strstr(config, "lifeSeconds") == NULL)
		return psprintf("%s" TOKEN_LIFE, config);
	if (rd_kafka_version() < TOKENS_RENEWED_SINCE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not connect to Kafka server \"%s\"", server->name),
				 errdetail("This server's librdkafka (%s) cannot renew tokens.",
						   rd_kafka_version_str()),
				 errhint("Leave lifeSeconds out of sasl_oauthbearer_config.")));
	return pstrdup(config);
}

/* ------------------------------------------------------------------------
 * The brokers' certificates
 * ------------------------------------------------------------------------ */

/* OpenSSL's verdicts, by their numbers in its openssl/x509_vfy.h, which change no more. */
static const struct
{
	int			number;
	const char *words;
}			verdicts[] = {
	{2, "its authority is not known here"},
	{3, "there is no revocation list of its authority"},
	{9, "it is not valid yet"},
	{10, "it has expired"},
	{12, "the revocation list of its authority has expired"},
	{18, "it is its own authority, which is not known here"},
	{19, "its authority is not known here"},
	{20, "its authority is not known here"},
	{21, "its authority is not known here"},
	{23, "it has been revoked"},
	{62, "it is for another host"},
	{64, "it is for another host"}
};

/*
 * Called by librdkafka's threads for each certificate, with OpenSSL's verdict on it. The verdict
 * stands; it is only put into words, which librdkafka writes to its log (kafka_note_log).
 */
int
kafka_verify_certificate(rd_kafka_t *rk, const char *broker, int32_t id, int *x509_error,
						 int depth, const char *certificate, size_t size, char *errstr,
						 size_t errlen, void *opaque)
{
	const char *words = "OpenSSL does not accept it";

	if (*x509_error == 0)
		return 1;
	for (int i = 0; i < lengthof(verdicts); i++)
	{
		if (verdicts[i].number == *x509_error)
			words = verdicts[i].words;
	}
	strlcpy(errstr, words, errlen);
	return 0;
}

/* "[thrd:NAME]: NAME: Certificate (SUBJECT, ISSUER) verification callback failed: WORDS" */
static void
note_verdict(KafkaHandle *handle, const char *line)
{
	static const char certificate[] = "Certificate (";
	static const char failed[] = ") verification callback failed: ";
	const char *name = strstr(line, "]: ");
	const char *subject;
	const char *words;

	if (name == NULL)
		return;
	name += strlen("]: ");
	subject = strstr(name, certificate);
	words = subject ? strstr(subject, failed) : NULL;
	if (words == NULL)
		return;
	snprintf(handle->verdict, sizeof(handle->verdict), "%.*scertificate (%.*s) is not trusted: %s",
			 (int) (subject - name), name,
			 (int) (words - subject - strlen(certificate)), subject + strlen(certificate),
			 words + strlen(failed));
}

/*
 * "[thrd:NAME]: NAME: Disconnected: WORDS (after Nms in state STATE)". Earlier librdkafkas say themselves what
 * it may mean that a broker ends a connection at once. From 2.11 on they compare a format with the
 * word, and have nothing to say.
 */
static void
note_disconnect(KafkaHandle *handle, const char *line)
{
	static const char duration[] = " (after ";
	const char *name = strstr(line, "]: ");
	const char *after = strstr(line, ": Disconnected");
	const char *cause;
	char		text[sizeof(handle->broker_errstr)];

	if (after)
		after = strstr(after, duration);
	if (name == NULL || after == NULL)
		return;
	name += strlen("]: ");
	if (strstr(after, "in state APIVERSION_QUERY") && strstr(name, "ssl://") == NULL)
		cause = "with TLS";
	else if (strstr(after, "in state UP") && atoi(after + strlen(duration)) < AT_ONCE_MS &&
			 strncmp(name, "sasl_", strlen("sasl_")) != 0)
		cause = "with SASL";
	else
		return;
	snprintf(text, sizeof(text), "%s; perhaps this is a listener %s: see security.protocol",
			 name, cause);
	kafka_note_error(handle, RD_KAFKA_RESP_ERR__TRANSPORT, text);
}

/*
 * Three things are told in the log alone: the verdict on a certificate, a connection that was ended,
 * and (as an error that is meant for whoever waits for the partition, but only comes here) that a
 * partition which is being fetched is there no more.
 */
void
kafka_note_log(KafkaHandle *handle, const char *facility, const char *line)
{
	if (strcmp(facility, "SSLCERTVRFY") == 0)
		note_verdict(handle, line);
	else if (strcmp(facility, "FAIL") == 0)
		note_disconnect(handle, line);
	else if (strcmp(facility, "ERROR") == 0 && strstr(line, "desired partition is ") != NULL)
		handle->lost_topic = true;
}

/*
 * Take the value out of a log line that shows a credential as it is configured: with "debug" librdkafka
 * prints its configuration, and what it thinks secret does not have sasl.oauthbearer.client.secret (seen
 * in 2.8). The line is "CONF: [thread]:   name = value".
 */
void
kafka_redact_log(char *line)
{
	static const char facility[] = "CONF: ";
	char	   *equals = strstr(line, " = ");
	char	   *name = equals;
	const KafkaPropertyInfo *info;

	if (equals == NULL || strncmp(line, facility, strlen(facility)) != 0)
		return;
	while (name > line && name[-1] != ' ')
		name--;
	*equals = '\0';
	info = KafkaPropertyFind(name, NULL);
	*equals = ' ';
	if (info && info->class == KAFKA_CLASS_B)
		equals[strlen(" = ")] = '\0';
}

/* ------------------------------------------------------------------------
 * What a broker connection complained of
 * ------------------------------------------------------------------------ */

/*
 * True where a broker ended the connection because of our certificate, or because it wants one: by
 * an alert of TLS, of which OpenSSL tells the number.
 */
static bool
is_client_refused(const char *text)
{
	static const char alert[] = "SSL alert number ";
	const char *number = strstr(text, alert);

	if (number == NULL)
		return false;
	switch (atoi(number + strlen(alert)))
	{
		case 41:				/* no certificate */
		case 42:				/* bad certificate */
		case 43:				/* unsupported certificate */
		case 44:				/* certificate revoked */
		case 45:				/* certificate expired */
		case 46:				/* certificate unknown */
		case 48:				/* unknown authority */
		case 49:				/* access denied */
		case 116:				/* certificate required */
			return true;
		default:
			return false;
	}
}

/* True where the connection was lost before TLS was agreed on. */
static bool
is_lost_in_tls(const char *text)
{
	return strstr(text, "unexpected eof") != NULL && strstr(text, "SSL_HANDSHAKE") != NULL;
}

/* True where librdkafka speaks of TLS or SASL, but the connection was only lost at that moment. */
static bool
is_lost(rd_kafka_resp_err_t err, const char *text)
{
	return is_lost_in_tls(text) ||
		(err == RD_KAFKA_RESP_ERR__AUTHENTICATION &&
		 strstr(text, "mechanism handshake failed: Local: ") != NULL);
}

/* Waiting will not mend it. */
static bool
is_fatal(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR__SSL:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
			return true;
		default:
			return false;
	}
}

/*
 * What is added to librdkafka's words. Before 2.6.1 it repeated its part of the nonce, which Kafka 4
 * takes for a failed authentication.
 */
static const char *
remark(rd_kafka_resp_err_t err, const char *text)
{
	if (is_client_refused(text))
		return "; the broker refused the client's certificate, or asks for one";
	if (is_lost_in_tls(text))
		return "; perhaps this is a listener without TLS";
	if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION && strstr(text, "SCRAM-SHA-") != NULL &&
		rd_kafka_version() < SCRAM_NONCE_MENDED)
		return "; Kafka 4.0 and later take SCRAM from librdkafka 2.6.1 and later only";
	return "";
}

/* True where the latest error says less than one before it, which it may be the result of. */
static bool
says_less(const KafkaHandle *handle, rd_kafka_resp_err_t err, const char *text)
{
	static const char property[] = "security.protocol";

	if (handle->broker_err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	return err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
		(err == RD_KAFKA_RESP_ERR__TRANSPORT && strstr(text, property) == NULL &&
		 strstr(handle->broker_errstr, property) != NULL);
}

void
kafka_note_error(KafkaHandle *handle, rd_kafka_resp_err_t err, const char *text)
{
	const char *colon = strstr(text, ": ");
	const char *verdict = "";

	/* The name of the broker, and ": ", are the same in both. */
	if (err == RD_KAFKA_RESP_ERR__SSL && strstr(text, "certificate verify failed") != NULL &&
		colon != NULL && strncmp(text, handle->verdict, colon + 2 - text) == 0)
		verdict = handle->verdict;

	if (!says_less(handle, err, text))
	{
		handle->broker_err = err;
		snprintf(handle->broker_errstr, sizeof(handle->broker_errstr), "%s%s",
				 verdict[0] ? verdict : text, remark(err, text));
		kafka_clean_text(handle->broker_errstr);
	}
	handle->verdict[0] = '\0';

	if (is_client_refused(text))
		handle->broker_err = RD_KAFKA_RESP_ERR__AUTHENTICATION;
	else if (is_lost(err, text))
		handle->broker_err = RD_KAFKA_RESP_ERR__TRANSPORT;
	if (is_fatal(handle->broker_err))
		handle->fatal_err = handle->broker_err;
}
