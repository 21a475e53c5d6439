# 082_subscription_torture.pl
#		Whatever is killed, every message is in the table once: a worker, the server, the broker,
#		again and again while a producer goes on.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('torture');
my $node = KafkaFdw::Test->new_node('torture', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nrestart_after_crash = on\nmax_worker_processes = 16");
my $sender = KafkaFdw::Test->new_node('sender', $broker);
my $topic = KafkaFdw::Test->topic('in');

my $table = qq{CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, key text, value text)
	SERVER kafka OPTIONS (topic '$topic')};
$sender->safe_psql('postgres', qq{SELECT kafka_create_topic('$topic', 3, server => 'kafka'); $table});
$node->safe_psql('postgres', qq{$table;
	CREATE TABLE plain (partition int, "offset" bigint, value text);
	CREATE TABLE indexed (partition int, "offset" bigint, value text, at timestamptz DEFAULT now());
	CREATE INDEX ON indexed (value);
	CREATE TABLE shared (partition int, "offset" bigint, value text);
	CREATE TABLE counts (part int PRIMARY KEY, n bigint, sum numeric);
	SELECT kafka_subscribe('plain', 't_in', 'plain', batch_size => 500);
	SELECT kafka_subscribe('indexed', 't_in', 'indexed');
	SELECT kafka_subscribe('shared', 't_in', 'shared', batch_size => 300, workers => 2, "group" => '$topic.group');
	SELECT kafka_subscribe('counts', 't_in', command => 'INSERT INTO counts
		SELECT partition, count(*), sum("offset") FROM t_in GROUP BY 1
		ON CONFLICT (part) DO UPDATE SET n = counts.n + excluded.n, sum = counts.sum + excluded.sum')});

# A producer that does not care about errors: what is in the topic is the truth.
my $session = KafkaFdw::Test->session($sender);
$session->send(q{DO $$
	BEGIN
		FOR i IN 1 .. 1000000 LOOP
			BEGIN
				INSERT INTO t_in (key, value) SELECT n::text, i || '.' || n FROM generate_series(1, 200) n;
			EXCEPTION WHEN connection_exception OR insufficient_resources THEN
				NULL;
			END;
			PERFORM pg_sleep(0.005);
		END LOOP;
	END $$});

sub ask { return KafkaFdw::Test->answer($node, $_[0]); }

sub progress
{
	my ($last) = @_;

	$node->poll_query_until('postgres', "SELECT min(n) > $last FROM (SELECT sum(next_offset) AS n FROM kafka_subscription_offset GROUP BY subscription) x")
	  or die 'no progress: ' . ask('SELECT * FROM kafka_subscriptions');
	return ask('SELECT min(n) FROM (SELECT sum(next_offset) AS n FROM kafka_subscription_offset GROUP BY subscription) x');
}

my $done = progress(0);
for my $round (1 .. 12)
{
	my $what = $round % 4;

	if ($what == 1 || $what == 3)
	{
		# The server restarts everything.
		KafkaFdw::Test->kill_process($node, ask('SELECT unnest(pids) FROM kafka_subscriptions ORDER BY random() LIMIT 1'));
	}
	elsif ($what == 2)
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		$broker->kill;
		$broker->start;
	}
	$done = progress($done);
	note "round $round: $done offsets";
}
$session->cancel;
$session->quit;

# The topic against the tables, both as they are now: what was cancelled may still come in.
my $seen = '(count(*), sum("offset"), count(DISTINCT (partition, "offset")), sum(hashtext(value)))::text';
for my $name (qw(plain indexed shared))
{
	ok($node->poll_query_until('postgres', "SELECT (SELECT $seen FROM t_in) = (SELECT $seen FROM $name)"),
		"$name: every message once")
	  or diag $node->safe_psql('postgres', "SELECT $seen FROM t_in; SELECT * FROM kafka_subscriptions");
}
ok($node->poll_query_until('postgres', q{SELECT (SELECT (count(*), sum("offset"))::text FROM t_in) =
	(SELECT (sum(n), sum(sum))::text FROM counts)}), 'a command with GROUP BY and ON CONFLICT counts every message once');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM kafka_subscriptions WHERE state = 'running'}),
	'the subscriptions run');
ok($node->poll_query_until('postgres', qq{SELECT sum(current_offset) = (SELECT sum(next_offset) FROM kafka_subscription_offset
	JOIN kafka_subscription s ON s.id = subscription WHERE s.name = 'shared') FROM kafka_group_lag('$topic.group', server => 'kafka')}),
	'and the group has the offsets');
done_testing();
