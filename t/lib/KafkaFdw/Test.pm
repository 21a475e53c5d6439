# KafkaFdw/Test.pm
#		What the TAP tests share. All of it is called as a class method:
#
#	my $broker = KafkaFdw::Test->new_broker('frozen');		a broker of this test's own
#	my $cluster = KafkaFdw::Test->new_cluster('three');		three of them
#	my $broker = KafkaFdw::Test->new_secure_broker('tls');	one with TLS, SASL and ACLs
#	my $node = KafkaFdw::Test->new_node('main');			a PostgreSQL on the shared broker
#	my $node = KafkaFdw::Test->new_node('main', $broker);	on that one
#	my $topic = KafkaFdw::Test->topic('log');				a name of this run alone
#	my $session = KafkaFdw::Test->session($node);			a psql in the background
#	my $txn = KafkaFdw::Test->tool('ktxn', $bootstrap, 'id');
#	my $text = KafkaFdw::Test->kafka_tool('org.apache.kafka.tools.TopicCommand', '--list', ...);
#	my $before = KafkaFdw::Test->counters($pid);			threads, descriptors, memory
#	KafkaFdw::Test->start_killed($node);					after $node->kill9
#	KafkaFdw::Test->kill_process($node, $pid);				kill -9 one of a server's processes
#	my $text = KafkaFdw::Test->answer($node, $sql);			of a server that may be coming back
#
# Tests that do not hurt a broker use the shared one, whose address is in KAFKA_BOOTSTRAP; a test that
# is run without it starts its own. "make prove_installcheck" sets the paths; by hand it is
# prove -I t/lib -I .../pgxs/src/test/perl t/foo.pl.
package KafkaFdw::Test;

use strict;
use warnings;

use IPC::Run ();
use KafkaFdw::Broker;
use KafkaFdw::Cluster;
use KafkaFdw::Node;
use KafkaFdw::SecureBroker;
use KafkaFdw::Session;
use KafkaFdw::Tool;
use PostgreSQL::Test::Utils ();
use Test::More ();
use Time::HiRes qw(usleep time);

my $shared;
my $topics = 0;

# A broker of this test's own; see KafkaFdw/Broker.pm. The name is for its folder.
sub new_broker
{
	my ($class, $name, %options) = @_;

	return KafkaFdw::Broker->new($name, %options);
}

# A cluster of three; see KafkaFdw/Cluster.pm.
sub new_cluster
{
	my ($class, $name, %options) = @_;

	return KafkaFdw::Cluster->new($name, %options);
}

# One with TLS, SASL and ACLs; see KafkaFdw/SecureBroker.pm.
sub new_secure_broker
{
	my ($class, $name, %options) = @_;

	return KafkaFdw::SecureBroker->new($name, %options);
}

# The address of the broker that all tests share.
sub bootstrap
{
	return $ENV{KAFKA_BOOTSTRAP} if $ENV{KAFKA_BOOTSTRAP};
	$shared //= KafkaFdw::Broker->new('shared');
	return $shared->bootstrap;
}

# A started PostgreSQL with the extension in its database postgres, and a server "kafka" for a broker,
# given as an object or an address (default: the shared one). Options: "server_options", further
# options of the server as SQL has them; "conf", lines of postgresql.conf; "init", a hash of what the
# node's own init() takes.
sub new_node
{
	my ($class, $name, $broker, %options) = @_;
	my $node = KafkaFdw::Node->new($name);

	$node->init(%{ $options{init} || {} });
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION kafka_fdw');
	$class->create_server($node, 'kafka', $broker, $options{server_options});
	return $node;
}

# A further server.
sub create_server
{
	my ($class, $node, $server, $broker, $options) = @_;
	my $bootstrap = ref $broker ? $broker->bootstrap : $broker // $class->bootstrap;

	$options = defined $options && $options ne '' ? ", $options" : '';
	$node->safe_psql('postgres', qq{
		CREATE SERVER $server FOREIGN DATA WRAPPER kafka_fdw
			OPTIONS (bootstrap_servers '$bootstrap'$options)});
	return;
}

# A topic's name that no other test has used on this broker, nor an earlier run of this one.
sub topic
{
	my ($class, $name) = @_;

	return sprintf '%s.%x.%d.%d', $name // 't', $^T, $$, ++$topics;
}

# A psql in the background; see KafkaFdw/Session.pm. Options beside its own: "dbname".
sub session
{
	my ($class, $node, %options) = @_;
	my $dbname = delete $options{dbname} // 'postgres';

	return KafkaFdw::Session->new($node, $dbname, %options);
}

# What a statement that fails prints.
sub failure
{
	my ($class, $node, $sql, %options) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, %options);

	return $status == 0 ? "no error: $out" : $err;
}

# A test point: a condition comes true. Where it does not, the rows of a view say why.
sub becomes_true
{
	my ($class, $node, $query, $what, $view) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 2;
	Test::More::ok($node->poll_query_until('postgres', $query), $what)
	  or Test::More::diag($node->safe_psql('postgres', "SELECT * FROM $view"));
	return;
}

# Wait until what Kafka's transactions have sent to a topic is to be read: the markers that end them are
# written a moment after the sender has been told that they are committed, or aborted.
sub settle
{
	my ($class, $node, $topic, $server) = @_;

	$server //= 'kafka';
	$node->poll_query_until('postgres',
		"SELECT bool_and(committed_end = high) FROM kafka_partitions('$topic', '$server')")
	  or die "a transaction of topic $topic does not end";
	return;
}

# A program of t/tools; see KafkaFdw/Tool.pm.
sub tool
{
	my ($class, $name, @args) = @_;

	return KafkaFdw::Tool->new($name, @args);
}

# Start one of Kafka's own tools, a class of the broker's jars; returns the run of IPC::Run.
sub start_kafka_tool
{
	my ($class, $command, $out, $err) = @_;

	return IPC::Run::start([ KafkaFdw::Broker->script, 'java', @$command ], '<', \undef, '>', $out, '2>', $err);
}

# Run one, and return what it prints; dies where it fails.
sub kafka_tool
{
	my ($class, @command) = @_;
	my ($out, $err) = ('', '');

	$class->start_kafka_tool(\@command, \$out, \$err)->finish or die "$command[0] failed: $err";
	return $out;
}

# What a process of this user holds: a hash of threads, fds, and rss in kB, that is of memory of its own.
# Files do not count as descriptors: which tables' are open is PostgreSQL's affair.
sub counters
{
	my ($class, $pid) = @_;
	my $status = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status");
	my ($threads) = $status =~ /^Threads:\s+(\d+)/m;
	my ($rss) = $status =~ /^RssAnon:\s+(\d+)/m;

	my $fds = grep { (readlink($_) // '/') !~ m{^/} } glob "/proc/$pid/fd/*";

	return { threads => $threads, fds => $fds, rss => $rss };
}

# Start a server that was killed, as soon as its processes have noticed that it is dead.
sub start_killed
{
	my ($class, $node) = @_;

	$class->wait_until(
		sub {
			undef $node->{_pid};	# of the dead, read from its file again
			return $node->start(fail_ok => 1);
		}) or die 'the server does not start again';
	return;
}

# Ask until there is an answer, and not an empty one: a server of which a process was killed may not know that it
# has crashed, or be starting.
sub answer
{
	my ($class, $node, $sql) = @_;
	my $answer;

	$class->wait_until(sub { return $node->psql('postgres', $sql, stdout => \$answer) == 0 && $answer ne ''; })
	  or die "no answer: $sql";
	return $answer;
}

# kill -9 a process of a server with restart_after_crash, and wait until the server has noticed, and come back:
# for a moment it answers as if nothing had happened.
sub kill_process
{
	my ($class, $node, $pid) = @_;
	my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
	my $before = $class->answer($node, $checkpointer);

	die "there is no process to be killed" if !$pid || kill('KILL', $pid) != 1;
	$node->poll_query_until('postgres', "SELECT ($checkpointer) <> $before") or die 'the server does not come back';
	return;
}

# End the sessions of a program that was killed, and wait until they have ended: they would not notice before
# they have something to say, and one may not even have begun.
sub end_sessions
{
	my ($class, $node, $application) = @_;

	$node->poll_query_until('postgres', qq{
		SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity
		WHERE application_name = '$application'}) or die "the sessions of $application do not end";
	return;
}

# Wait until a condition holds, at most so many seconds (default: the tests' timeout); whether it does.
sub wait_until
{
	my ($class, $condition, $seconds) = @_;
	my $deadline = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	while (!$condition->())
	{
		return 0 if time > $deadline;
		usleep(10_000);
	}
	return 1;
}

# Wait until a process has ended, at most so many seconds; whether it has. A zombie has ended.
sub process_gone
{
	my ($class, $pid, $seconds) = @_;

	return $class->wait_until(
		sub {
			open(my $stat, '<', "/proc/$pid/stat") or return 1;
			my $line = <$stat> // return 1;
			return $line =~ /\) Z/;
		},
		$seconds);
}

# A psql of version 17 or later, which uses no cursor for FETCH_COUNT; undef where there is none.
# dev/test sets PSQL17.
sub psql17
{
	foreach my $psql ($ENV{PSQL17}, 'psql')
	{
		next if !$psql;
		my $version = `"$psql" --version 2>/dev/null`;

		return $psql if $version =~ /\(PostgreSQL\) (\d+)/ && $1 >= 17;
	}
	return;
}

1;
