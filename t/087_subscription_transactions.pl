# 087_subscription_transactions.pl
#		A subscription to a topic that is written in transactions: what is committed is taken, once; what
#		is aborted is not; what is open is waited for; and at the end nothing is left.
use strict;
use warnings;

use KafkaFdw::Test;
use Test::More;

my $broker = KafkaFdw::Test->new_broker('txn');
my $node = KafkaFdw::Test->new_node('txn', $broker,
	conf => "shared_preload_libraries = 'kafka_fdw'\nmax_worker_processes = 16");
my $topic = KafkaFdw::Test->topic('in');

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
# A query that comes to a result.
sub becomes
{
	my ($query, $result, $name) = @_;

	ok($node->poll_query_until("postgres", $query, $result), $name) or diag(sql("SELECT * FROM kafka_subscriptions"));
	return;
}

sql(qq{
	SELECT kafka_create_topic('$topic', 2, server => 'kafka');
	CREATE FOREIGN TABLE t_in (partition int, "offset" bigint, value text) SERVER kafka OPTIONS (topic '$topic');
	CREATE FOREIGN TABLE u_in (partition int, "offset" bigint, value text)
		SERVER kafka OPTIONS (topic '$topic', isolation_level 'read_uncommitted');
	CREATE TABLE t (LIKE t_in);
	CREATE TABLE small (LIKE t_in);
	CREATE TABLE hand (LIKE t_in);
	CREATE TABLE u (LIKE t_in);
	SELECT kafka_subscribe('t', 't_in', 't');
	SELECT kafka_subscribe('small', 't_in', 'small', batch_size => 7);
	SELECT kafka_subscribe('hand', 't_in', 'hand', batch_size => 500, workers => 0);
	SELECT kafka_subscribe('u', 'u_in', 'u')});

my $txn = KafkaFdw::Test->tool('ktxn', $broker->bootstrap, "$topic.a");
my $other = KafkaFdw::Test->tool('ktxn', $broker->bootstrap, "$topic.b");
my $committed = 0;
my $aborted = 0;
my @end = (0, 0);				# of each partition, once what is open has ended

# Fill a partition in a transaction, which ends with a marker: that is in the topic a moment after the
# transaction has ended.
sub fill
{
	my ($session, $partition, $count, $value) = @_;

	$session->ok("fill $topic $partition $count $value");
	$end[$partition] += $count + 1;
	return;
}

sub transaction
{
	my ($what, $count, $value) = @_;

	$txn->ok('begin');
	fill($txn, $_, $count, $value) foreach 0, 1;
	$txn->ok($what);
	$what eq 'commit' ? ($committed += 2 * $count) : ($aborted += 2 * $count);
	return;
}

# Every subscription has what is committed, and stands at the end, behind the markers.
sub all_taken
{
	my ($when) = @_;
	my $ends = join ',', @end;

	becomes("SELECT string_agg(high::text, ',' ORDER BY partition) FROM kafka_partitions('$topic', 'kafka')", $ends,
		"$when: the markers are there");
	for my $round (1 .. 100)
	{
		sql("CALL kafka_ingest('hand')");
		last if sql("SELECT sum(lag) FROM kafka_subscriptions WHERE name = 'hand'") eq '0'
		  && sql("SELECT string_agg(next_offset::text, ',' ORDER BY partition) FROM kafka_subscription_offset o JOIN kafka_subscription s ON s.id = o.subscription WHERE name = 'hand'") eq $ends;
	}
	foreach my $name (qw(t small hand))
	{
		becomes(qq{SELECT count(*) || ' ' || count(DISTINCT (partition, "offset")) || ' ' || count(*) FILTER (WHERE value LIKE 'no%') FROM $name},
			"$committed $committed 0", "$name, $when: what is committed, once");
	}
	becomes(q{SELECT count(*) || ' ' || count(DISTINCT (partition, "offset")) FROM u}, join(' ', ($committed + $aborted) x 2),
		"$when: without isolation, all of it");
	foreach my $name (qw(t small hand u))
	{
		becomes("SELECT string_agg(next_offset::text, ',' ORDER BY partition) FROM kafka_subscription_offset o JOIN kafka_subscription s ON s.id = o.subscription WHERE name = '$name'",
			$ends, "$name, $when: it stands at the end");
		becomes("SELECT lag FROM kafka_subscriptions WHERE name = '$name'", '0', "$name, $when: and nothing is left");
	}
	return;
}

transaction($_ % 3 == 1 ? 'abort' : 'commit', 1 + $_, $_ % 3 == 1 ? "no $_" : "yes $_") foreach 1 .. 12;
transaction('abort', 3000, 'no, many');
transaction('commit', 3000, 'yes, many');
all_taken('committed at the end');
transaction('abort', 2000, 'no, at the end');
all_taken('aborted at the end');

# An open transaction holds back what comes behind it in its partition, and nothing else.
$other->ok('begin');
fill($other, 0, 10, 'yes, open');
$txn->ok('begin');
fill($txn, 0, 10, 'yes, behind it');
fill($txn, 1, 10, 'yes, beside it');
$txn->ok('commit');
becomes(q{SELECT count(*) FROM u WHERE value LIKE 'yes, open%' OR value LIKE 'yes, be%'}, 30, 'without isolation nothing is held back');
becomes("SELECT count(*) FROM $_ WHERE value LIKE 'yes, beside%'", 10, "$_: the other partition goes on") foreach qw(t small);
is(sql("SELECT count(*) FROM $_ WHERE value LIKE 'yes, behind%' OR value LIKE 'yes, open%'"), 0, "$_: what is behind an open transaction waits") foreach qw(t small);

# A worker that starts meanwhile waits at the same place.
sql("SELECT kafka_pause('t')");
sql("SELECT kafka_resume('t')");
$txn->ok('begin');
fill($txn, 1, 10, 'yes, later');
$txn->ok('commit');
becomes("SELECT count(*) FROM $_ WHERE value LIKE 'yes, later%'", 10, "$_: the other partition goes on after a restart") foreach qw(t small);
is(sql("SELECT count(*) FROM t WHERE value LIKE 'yes, behind%' OR value LIKE 'yes, open%'"), 0, 'and the one with the open transaction does not');
$other->ok('commit');
$committed += 40;
all_taken('after the open one was committed');

# The same where it is aborted.
$other->ok('begin');
fill($other, 1, 10, 'no, open');
$txn->ok('begin');
fill($txn, 1, 10, 'yes, behind that');
$txn->ok('commit');
becomes(q{SELECT count(*) FROM u WHERE value LIKE 'no, open%' OR value LIKE '%behind that%'}, 20, 'both are in the topic');
is(sql(q{SELECT count(*) FROM t WHERE value LIKE '%behind that%'}), 0, 'and are waited for');
$other->ok('abort');
$committed += 10;
$aborted += 10;
all_taken('after it was aborted');

sql('SELECT kafka_pause(name), kafka_resume(name) FROM kafka_subscriptions');
transaction('commit', 5, 'yes, at last');
all_taken('after all have started again');
is(sql(q{SELECT count(*) FROM kafka_subscriptions WHERE last_error IS NOT NULL}), 0, 'there was no error');
done_testing();
