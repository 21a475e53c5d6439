# t/010_mode.pl
#		kafka_fdw.mode: what it forbids, that one reload changes every session, and that nobody but
#		the server's superuser does; and a standby, where the same is forbidden.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $bootstrap = $ENV{KAFKA_BOOTSTRAP} // 'localhost:9092';
my $topic = sprintf 'mode.%d.%d', time, $$;

my $node = PostgreSQL::Test::Cluster->new('mode');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', 'kafka_fdw.mode = on');
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION kafka_fdw;
	CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$bootstrap');
	SELECT kafka_create_topic('$topic', 1);
	CREATE FOREIGN TABLE t (value text) SERVER kafka OPTIONS (topic '$topic');
	INSERT INTO t VALUES ('one')});

my @reads = (
	[ 'table', 'SELECT value FROM t' ],
	[ 'kafka_read', "SELECT value FROM kafka_read('$topic')" ],
	[ 'kafka_last', "SELECT value FROM kafka_last('$topic')" ],
	[ 'kafka_topics', "SELECT 'one' FROM kafka_topics() WHERE topic = '$topic'" ],
	[ 'kafka_partitions', "SELECT 'one' FROM kafka_partitions('$topic')" ],
	[ 'kafka_brokers', "SELECT 'one' FROM kafka_brokers()" ],
	[ 'kafka_topic_config', "SELECT 'one' FROM kafka_topic_config('$topic') WHERE name = 'retention.ms'" ],
	[ 'kafka_groups', "SELECT 'one' FROM (SELECT count(*) FROM kafka_groups()) g" ]);
my @writes = (
	[ 'INSERT', "INSERT INTO t VALUES ('two')" ],
	[ 'kafka_send()', "SELECT kafka_send('$topic', 'two')" ],
	[ 'kafka_produce()', "SELECT kafka_produce('$topic', 'two')" ],
	[ 'kafka_create_topic()', "SELECT kafka_create_topic('$topic.two')" ],
	[ 'kafka_delete_topic()', "SELECT kafka_delete_topic('$topic')" ],
	[ 'kafka_add_partitions()', "SELECT kafka_add_partitions('$topic', 2)" ],
	[ 'kafka_delete_records()', "SELECT kafka_delete_records('$topic', 0, 1)" ],
	[ 'kafka_set_topic_config()', "SELECT kafka_set_topic_config('$topic', '{}')" ]);

# The SQLSTATE and the message of a statement that fails.
sub failure
{
	my ($on, $statement) = @_;
	my ($rc, $stdout, $stderr) = $on->psql('postgres', $statement,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return $stderr =~ /ERROR:  (\w+): (.*)/ ? "$1 $2" : "rc $rc: $stdout $stderr";
}

# Set the mode and wait until a session has it: the postmaster reads the file when it comes to it.
sub set_mode
{
	my ($mode) = @_;

	$node->adjust_conf('postgresql.conf', 'kafka_fdw.mode', $mode);
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('kafka_fdw.mode')", $mode)
	  or die "the mode did not become $mode";
}

sub reads_work
{
	my ($on, $where) = @_;

	is($on->safe_psql('postgres', $_->[1]), 'one', "$where, $_->[0] reads") for @reads;
}

# A session that is there all the time, which has set nothing and holds a producer.
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe("SELECT kafka_send('$topic.other', 'x')
	FROM kafka_create_topic('$topic.other', 1)");

set_mode('read_only');
reads_work($node, 'read_only');
for my $write (@writes)
{
	is(failure($node, $write->[1]),
		qq{55000 cannot execute $write->[0] while "kafka_fdw.mode" is "read_only"},
		"read_only, $write->[0] is refused");
}

# The session that was there before, with its next statement after the signal has reached it.
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
my $seen = '';
while ($seen ne 'read_only' && time < $deadline)
{
	$seen = $session->query_safe('SHOW kafka_fdw.mode');
}
is($seen, 'read_only', 'a session that was there has the mode');
$session->query("SELECT kafka_send('$topic', 'two')");
like($session->{stderr}, qr/cannot execute kafka_send\(\) while/, 'and may not send');
$session->{stderr} = '';

# No session gets out of it, a superuser's neither.
is(failure($node, "LOAD 'kafka_fdw'; SET kafka_fdw.mode = 'on'"),
	'55P02 parameter "kafka_fdw.mode" cannot be changed now', 'no session sets the mode');
is(failure($node, "SET kafka_fdw.mode = 'on'; SELECT kafka_send('$topic', 'two')"),
	'55000 cannot execute kafka_send() while "kafka_fdw.mode" is "read_only"',
	'also not before the library is there');
$node->safe_psql('postgres', 'CREATE ROLE plain; GRANT ALL ON FOREIGN SERVER kafka TO plain');
like(failure($node, "SET ROLE plain; ALTER SYSTEM SET kafka_fdw.mode = 'on'"),
	qr/^42501 /, 'a plain role does not set it for the server');

set_mode('off');
for my $read (@reads, [ 'import', 'IMPORT FOREIGN SCHEMA x FROM SERVER kafka INTO public' ])
{
	is(failure($node, $read->[1]),
		'55000 cannot contact Kafka while "kafka_fdw.mode" is "off"', "off, $read->[0] is refused");
}
for my $write (@writes)
{
	is(failure($node, $write->[1]),
		qq{55000 cannot execute $write->[0] while "kafka_fdw.mode" is "off"},
		"off, $write->[0] is refused");
}

set_mode('on');
reads_work($node, 'on');

# A standby
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
reads_work($standby, 'on a standby');
for my $write (@writes)
{
	# PostgreSQL itself has refused INSERT, in other words.
	like(failure($standby, $write->[1]), qr/^25006 cannot execute \Q$write->[0]\E /,
		"on a standby, $write->[0] is refused");
}
$standby->stop;

# Nothing of all that has been sent.
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), '1', 'nothing was sent');

$session->quit;
$node->stop;
done_testing();
