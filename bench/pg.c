/*
 * pg.c
 *		A client of PostgreSQL that measures: what a statement takes on the clock, what it costs its
 *		backend, and how long each of many takes.
 *
 *	pg [-s SQL]... run SQL
 *		one statement, in a session that has run those of -s
 *	pg [-s SQL]... -n COUNT [-c SESSIONS] loop SQL
 *		a statement again and again, prepared, COUNT times in all, in so many sessions at once
 *	pg [-s SQL]... -n COUNT ingest NAME
 *		a subscription that is running, sent back to the beginning of its topic, until it has taken COUNT
 *		offsets
 *	pg [-s SQL]... -n COUNT latency SEND SEEN
 *		from the end of one statement, COUNT times, until the other returns one more; every 0.2 ms
 *
 * The server is the one that libpq's environment names, on this machine: what a backend costs is read
 * from /proc. Prints "key=value" pairs in one line: times of run in seconds, those of loop in
 * microseconds, memory in kilobytes; "main" is the backend's own thread, "cpu" all of its threads (of loop, of
 * all sessions for one execution).
 * "kept" is what the statement left of memory that no other process shares, "anon" the most of it that a
 * worker had; "result" is the first row.
 * Exit status 2: the statement failed, and "error" says why.
 */
#define _GNU_SOURCE

#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "times.h"

#define MAX_SETUP 16
#define PATIENCE_US 60e6		/* for what a subscription has to do */

typedef struct Session
{
	PGconn	   *conn;
	pthread_t	thread;
	double	   *times;			/* of the executions */
	int			count;
	int			errors;
	char		error[256];		/* the first one */
} Session;

/* What a backend has used up to now. */
typedef struct Usage
{
	double		wall;			/* microseconds */
	double		cpu;			/* seconds, all threads */
	double		main;			/* seconds, the first thread */
} Usage;

static const char *setup[MAX_SETUP];
static int	nsetup = 0;
static pthread_barrier_t barrier;

static void
fail(const char *what)
{
	fprintf(stderr, "pg: %s\n", what);
	exit(1);
}

/* What went wrong, in one line of bounded length, as the value of "error". */
static void
copy_error(char *out, size_t size, const char *message)
{
	snprintf(out, size, "%s", message);
	for (char *c = out; *c; c++)
		if (*c == '\n' || *c == ' ')
			*c = '_';
}

static PGconn *
open_session(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		fail(PQerrorMessage(conn));
	for (int i = 0; i < nsetup; i++)
	{
		PGresult   *result = PQexec(conn, setup[i]);
		ExecStatusType status = PQresultStatus(result);

		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		{
			char		error[256];

			copy_error(error, sizeof(error), PQerrorMessage(conn));
			printf("error=%s\n", error);
			exit(2);
		}
		PQclear(result);
	}
	return conn;
}

/* ---- What a backend costs */

static FILE *
open_proc(int pid, const char *name, const char *mode)
{
	char		path[128];
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, mode);
	if (file == NULL)
		fail(path);
	return file;
}

/* VmRSS and its like, in kilobytes. RssAnon is what a process shares with no other. */
static long
memory_of(int pid, const char *what)
{
	FILE	   *file = open_proc(pid, "status", "r");
	char		line[256];
	long		kb = 0;

	while (fgets(line, sizeof(line), file))
		if (strncmp(line, what, strlen(what)) == 0)
			sscanf(line + strlen(what), ": %ld", &kb);
	fclose(file);
	return kb;
}

/* Its proportional share of memory: what is shared with others counts once. */
static long
share_of(int pid)
{
	FILE	   *file = open_proc(pid, "smaps_rollup", "r");
	char		line[256];
	long		kb = 0;

	while (fgets(line, sizeof(line), file))
		sscanf(line, "Pss: %ld", &kb);
	fclose(file);
	return kb;
}

/* Have VmHWM begin anew. */
static void
forget_peak(int pid)
{
	FILE	   *file = open_proc(pid, "clear_refs", "w");

	fputs("5", file);
	fclose(file);
}

/* The kernel's clock of the process has nanoseconds, and so has the scheduler's record of a thread. */
static Usage
usage_of(int pid)
{
	Usage		usage;
	clockid_t	clock;
	struct timespec t;
	char		name[64];
	FILE	   *file;
	unsigned long long ns = 0;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		fail("cannot read the backend's clock");
	usage.cpu = (double) t.tv_sec + (double) t.tv_nsec / 1e9;
	snprintf(name, sizeof(name), "task/%d/schedstat", pid);
	file = open_proc(pid, name, "r");
	if (fscanf(file, "%llu", &ns) != 1)
		fail("cannot read schedstat");
	fclose(file);
	usage.main = (double) ns / 1e9;
	usage.wall = now_us();
	return usage;
}

/* ---- One statement */

static int
command_run(const char *statement)
{
	PGconn	   *conn = open_session();
	int			pid = PQbackendPID(conn);
	long		before = memory_of(pid, "VmRSS");
	long		before_own = memory_of(pid, "RssAnon");
	PGresult   *result;
	ExecStatusType status;
	Usage		begin;
	Usage		end;

	forget_peak(pid);
	begin = usage_of(pid);
	result = PQexec(conn, statement);
	end = usage_of(pid);
	status = PQresultStatus(result);
	printf("wall=%.6f cpu=%.6f main=%.6f rss=%ld peak=%ld kept=%ld", (end.wall - begin.wall) / 1e6,
		   end.cpu - begin.cpu, end.main - begin.main, before, memory_of(pid, "VmHWM"),
		   memory_of(pid, "RssAnon") - before_own);
	if (status == PGRES_TUPLES_OK && PQntuples(result) > 0)
	{
		printf(" result=");
		for (int i = 0; i < PQnfields(result); i++)
			printf("%s%s", i > 0 ? "," : "", PQgetvalue(result, 0, i));
	}
	else if (status == PGRES_COMMAND_OK)
		printf(" result=%s", PQcmdTuples(result));
	else if (status != PGRES_TUPLES_OK)
	{
		char		error[256];

		copy_error(error, sizeof(error), PQerrorMessage(conn));
		printf(" error=%s\n", error);
		return 2;
	}
	printf("\n");
	PQfinish(conn);
	return 0;
}

/* ---- Many */

static void *
loop(void *argument)
{
	Session    *session = argument;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < session->count; i++)
	{
		double		begin = now_us();
		PGresult   *result = PQexecPrepared(session->conn, "s", 0, NULL, NULL, NULL, 0);
		ExecStatusType status;

		session->times[i] = now_us() - begin;
		status = PQresultStatus(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && session->errors++ == 0)
			copy_error(session->error, sizeof(session->error), PQerrorMessage(session->conn));
		PQclear(result);
	}
	return NULL;
}

static void
start_session(Session *session, const char *statement)
{
	PGresult   *result;

	session->conn = open_session();
	result = PQprepare(session->conn, "s", statement, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
	{
		copy_error(session->error, sizeof(session->error), PQerrorMessage(session->conn));
		printf("error=%s\n", session->error);
		exit(2);
	}
	PQclear(result);
}

static int
command_loop(const char *statement, int count, int nsessions)
{
	Session    *sessions = calloc((size_t) nsessions, sizeof(Session));
	double	   *times = malloc(sizeof(double) * (size_t) count);
	int			each = count / nsessions;
	int			errors = 0;
	long		memory = 0;
	const char *error = NULL;
	double		begin;
	double		end;
	double		cpu = 0;

	pthread_barrier_init(&barrier, NULL, (unsigned) nsessions + 1);
	for (int i = 0; i < nsessions; i++)
	{
		start_session(&sessions[i], statement);
		sessions[i].count = each;
		sessions[i].times = times + i * each;
		if (pthread_create(&sessions[i].thread, NULL, loop, &sessions[i]) != 0)
			fail("cannot start a thread");
		cpu -= usage_of(PQbackendPID(sessions[i].conn)).cpu;
	}
	begin = now_us();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < nsessions; i++)
		pthread_join(sessions[i].thread, NULL);
	end = now_us();
	for (int i = 0; i < nsessions; i++)
	{
		cpu += usage_of(PQbackendPID(sessions[i].conn)).cpu;
		memory += share_of(PQbackendPID(sessions[i].conn));
		errors += sessions[i].errors;
		if (error == NULL && sessions[i].errors)
			error = sessions[i].error;
	}
	printf("count=%d errors=%d rate=%.1f memory=%ld cpu=%.1f", each * nsessions, errors,
		   each * nsessions / (end - begin) * 1e6, memory, cpu / (each * nsessions) * 1e6);
	print_times(times, each * nsessions);
	if (error)
		printf(" error=%s", error);
	printf("\n");
	return error ? 2 : 0;
}

/* ---- Subscriptions */

/* The first column of a statement's first row, as a number; 0 where there is none, or it is NULL. */
static long
number_of(PGconn *conn, const char *statement)
{
	PGresult   *result = PQexec(conn, statement);
	long		number = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail(PQerrorMessage(conn));
	if (PQntuples(result) > 0)
		number = atol(PQgetvalue(result, 0, 0));
	PQclear(result);
	return number;
}

static void
nap(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

/* Wait until a statement returns so much. */
static void
wait_for(PGconn *conn, const char *statement, long number, long nap_us)
{
	double		begin = now_us();

	while (number_of(conn, statement) < number)
	{
		if (now_us() - begin > PATIENCE_US)
			fail("it does not come");
		nap(nap_us);
	}
}

static int
command_ingest(const char *name, int count)
{
	PGconn	   *conn = open_session();
	char		find[512];
	char		offsets[512];
	char		seek[512];
	int			pid;
	long		anon = 0;
	Usage		begin;
	Usage		end;

	snprintf(find, sizeof(find), "SELECT pid FROM pg_stat_activity "
			 "WHERE application_name = 'kafka_fdw subscription %s' AND state = 'idle'", name);
	snprintf(offsets, sizeof(offsets), "SELECT sum(next_offset) FROM kafka_subscription_offset "
			 "JOIN kafka_subscription ON id = subscription WHERE name = '%s'", name);
	snprintf(seek, sizeof(seek), "SELECT kafka_seek('%s', 'earliest')", name);
	wait_for(conn, find, 1, 10000);
	wait_for(conn, offsets, count, 10000);
	pid = (int) number_of(conn, find);

	forget_peak(pid);
	begin = usage_of(pid);
	(void) number_of(conn, seek);
	while (number_of(conn, offsets) < count)
	{
		long		now = memory_of(pid, "RssAnon");

		anon = now > anon ? now : anon;
		if (now_us() - begin.wall > PATIENCE_US)
			fail("the subscription does not come to the end");
		nap(5000);
	}
	end = usage_of(pid);
	printf("count=%d wall=%.6f cpu=%.6f main=%.6f rss=%ld anon=%ld\n", count,
		   (end.wall - begin.wall) / 1e6, end.cpu - begin.cpu, end.main - begin.main,
		   memory_of(pid, "VmHWM"), anon);
	PQfinish(conn);
	return 0;
}

/* Between two messages there is some time, so that none finds the worker at work. */
static int
command_latency(const char *send, const char *seen, int count)
{
	PGconn	   *conn = open_session();
	double	   *times = malloc(sizeof(double) * (size_t) count);
	long		before = number_of(conn, seen);

	for (int i = 0; i < count; i++)
	{
		double		begin;

		nap(5000 + i % 7 * 3000);
		(void) number_of(conn, send);
		begin = now_us();
		wait_for(conn, seen, before + i + 1, 200);
		times[i] = now_us() - begin;
	}
	printf("count=%d", count);
	print_times(times, count);
	printf("\n");
	free(times);
	PQfinish(conn);
	return 0;
}

int
main(int argc, char **argv)
{
	int			count = 1;
	int			nsessions = 1;
	int			c;

	while ((c = getopt(argc, argv, "s:n:c:")) != -1)
	{
		switch (c)
		{
			case 's':
				if (nsetup == MAX_SETUP)
					fail("too many of -s");
				setup[nsetup++] = optarg;
				break;
			case 'n':
				count = atoi(optarg);
				break;
			case 'c':
				nsessions = atoi(optarg);
				break;
			default:
				return 1;
		}
	}
	if (optind + 2 == argc && strcmp(argv[optind], "run") == 0)
		return command_run(argv[optind + 1]);
	if (optind + 2 == argc && strcmp(argv[optind], "loop") == 0)
		return command_loop(argv[optind + 1], count, nsessions);
	if (optind + 2 == argc && strcmp(argv[optind], "ingest") == 0)
		return command_ingest(argv[optind + 1], count);
	if (optind + 3 == argc && strcmp(argv[optind], "latency") == 0)
		return command_latency(argv[optind + 1], argv[optind + 2], count);
	fail("usage: see the head of pg.c");
	return 1;
}
