/*
 * kmock.c
 *		librdkafka's mock cluster as a process of its own, for what a real broker cannot be told to
 *		do: errors of its choice, long round trips, brokers that vanish.
 *
 *	usage: kmock [BROKERS]				(default 1) prints "ok BOOTSTRAP"
 *
 * Commands; brokers are numbered from 1, API keys and error codes are Kafka's:
 *	topic NAME PARTITIONS REPLICAS		make a topic
 *	topic_error NAME CODE				what metadata says of it; 0 takes it back
 *	error API COUNT CODE				answer the next COUNT requests of this kind with an error
 *	clear API							no more of these
 *	slow BROKER API COUNT MS			answer the next COUNT requests of this kind so late
 *	rtt BROKER MS						answer every request so late
 *	down BROKER							close its connections, refuse new ones
 *	up BROKER
 *	leader TOPIC PARTITION BROKER		-1: none
 *	api API MIN MAX						the versions that it says it speaks; -1 -1: not at all
 *	quit
 * It has no CreateTopics, finds no offsets by time, and shows aborted messages.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <stdbool.h>

#include "tool.h"

#define MAX_ERRORS 10000

static void
answer(rd_kafka_resp_err_t err)
{
	if (err)
		tool_answer("error %s", rd_kafka_err2str(err));
	else
		tool_answer("ok");
}

/* Have the next requests of a kind fail. */
static void
push_errors(rd_kafka_mock_cluster_t *cluster, int api, int count, int code)
{
	static rd_kafka_resp_err_t errors[MAX_ERRORS];

	if (count > MAX_ERRORS)
		count = MAX_ERRORS;
	for (int i = 0; i < count; i++)
		errors[i] = (rd_kafka_resp_err_t) code;
	rd_kafka_mock_push_request_errors_array(cluster, (int16_t) api, (size_t) count, errors);
}

/* Have the next requests of a kind take their time. */
static rd_kafka_resp_err_t
push_delays(rd_kafka_mock_cluster_t *cluster, int broker, int api, int count, int ms)
{
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

	for (int i = 0; i < count && !err; i++)
		err = rd_kafka_mock_broker_push_request_error_rtts(cluster, broker, (int16_t) api, 1,
														   RD_KAFKA_RESP_ERR_NO_ERROR, ms);
	return err;
}

/* Do what a command says; false where it is none. */
static bool
obey(rd_kafka_mock_cluster_t *cluster, const char *command)
{
	char		topic[256];
	int			a;
	int			b;
	int			c;
	int			d;

	if (sscanf(command, "topic %255s %d %d", topic, &a, &b) == 3)
		answer(rd_kafka_mock_topic_create(cluster, topic, a, b));
	else if (sscanf(command, "topic_error %255s %d", topic, &a) == 2)
	{
		rd_kafka_mock_topic_set_error(cluster, topic, (rd_kafka_resp_err_t) a);
		tool_answer("ok");
	}
	else if (sscanf(command, "error %d %d %d", &a, &b, &c) == 3)
	{
		push_errors(cluster, a, b, c);
		tool_answer("ok");
	}
	else if (sscanf(command, "clear %d", &a) == 1)
	{
		rd_kafka_mock_clear_request_errors(cluster, (int16_t) a);
		tool_answer("ok");
	}
	else if (sscanf(command, "slow %d %d %d %d", &a, &b, &c, &d) == 4)
		answer(push_delays(cluster, a, b, c, d));
	else if (sscanf(command, "rtt %d %d", &a, &b) == 2)
		answer(rd_kafka_mock_broker_set_rtt(cluster, a, b));
	else if (sscanf(command, "down %d", &a) == 1)
		answer(rd_kafka_mock_broker_set_down(cluster, a));
	else if (sscanf(command, "up %d", &a) == 1)
		answer(rd_kafka_mock_broker_set_up(cluster, a));
	else if (sscanf(command, "leader %255s %d %d", topic, &a, &b) == 3)
		answer(rd_kafka_mock_partition_set_leader(cluster, topic, a, b));
	else if (sscanf(command, "api %d %d %d", &a, &b, &c) == 3)
		answer(rd_kafka_mock_set_apiversion(cluster, (int16_t) a, (int16_t) b, (int16_t) c));
	else
		return false;
	return true;
}

int
main(int argc, char **argv)
{
	char		text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	char	   *command;

	/* It is no client of anybody, which would be worth a warning. */
	rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text));
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (rk == NULL)
		tool_die("%s", text);
	cluster = rd_kafka_mock_cluster_new(rk, argc > 1 ? atoi(argv[1]) : 1);
	if (cluster == NULL)
		tool_die("could not make a mock cluster");
	tool_answer("ok %s", rd_kafka_mock_cluster_bootstraps(cluster));

	while ((command = tool_command()) != NULL && strcmp(command, "quit") != 0)
	{
		if (!obey(cluster, command))
			tool_answer("error no such command: %s", command);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
