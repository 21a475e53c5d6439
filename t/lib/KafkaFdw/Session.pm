# KafkaFdw/Session.pm
#		A psql in the background, for tests of two sessions. Unlike PostgreSQL::Test::BackgroundPsql
#		it does not wait for a statement's end, and can be another psql than the server's.
#
#	my $tail = KafkaFdw::Session->new($node, 'postgres', fetch_count => 1);
#	$tail->send("SELECT value FROM web_log_tail");
#	$tail->wait_for(qr/^hello$/m);		# until its output has this
#	$tail->wait_until_waiting;			# until the backend waits for Kafka
#	$tail->cancel;						# as Ctrl-C does; finish() waits for the end
#	is($tail->query('SELECT 1'), '1');	# the output of one statement
#	my ($sqlstate, $text) = $tail->failure('SELECT 1/0');	# and of one that fails
#	$tail->quit;
package KafkaFdw::Session;

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils ();

# Options: "psql", the program; "fetch_count"; "set", a hash of psql's variables; "user".
sub new
{
	my ($class, $node, $dbname, %options) = @_;
	my $connstr = $node->connstr($dbname) . ($options{user} ? " user=$options{user}" : '');
	my @command = ($options{psql} // $node->installed_command('psql'), '-XAtq', '-d', $connstr, '-f', '-');
	my %set = %{ $options{set} // {} };
	my $self =
	  bless { node => $node, dbname => $dbname, in => '', out => '', err => '', query => 0 }, $class;

	$set{FETCH_COUNT} = $options{fetch_count} if $options{fetch_count};
	push @command, '-v', "$_=$set{$_}" foreach sort keys %set;
	$self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start(\@command,
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	return $self;
}

# The backend's process.
sub pid { my ($self) = @_; return $self->{pid}; }

# All that it printed since the last query() or clear().
sub stdout { my ($self) = @_; $self->_pump_nb; return $self->{out}; }
sub stderr { my ($self) = @_; $self->_pump_nb; return $self->{err}; }

sub clear
{
	my ($self) = @_;

	$self->_pump_nb;
	$self->{out} = $self->{err} = '';
	return;
}

sub _pump_nb
{
	my ($self) = @_;

	eval { $self->{run}->pump_nb } if $self->{run};
	return;
}

# Hand psql something to run, and do not wait. A semicolon is added where there is neither one nor a
# backslash command.
sub send
{
	my ($self, $sql) = @_;

	$sql .= ';' if $sql !~ /;\s*$/ && $sql !~ /^\\/;
	$self->{in} .= "$sql\n";
	$self->{run}->pump_nb;
	return;
}

# Wait until its output (or what it says on standard error) matches; dies after the tests' timeout.
sub wait_for
{
	my ($self, $pattern, $stream) = @_;

	$stream //= 'out';
	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	while ($self->{$stream} !~ $pattern)
	{
		my $state = "waiting for $pattern; output: $self->{out}; errors: $self->{err}";

		die "timed out $state" if $self->{timer}->is_expired;
		die "psql ended $state" if !$self->{run}->pumpable || !$self->{run}->pump;
	}
	# Where it runs out between two calls, the next one of IPC::Run returns with nothing read or written.
	$self->{timer}->reset;
	return $self->{$stream};
}

sub wait_for_error
{
	my ($self, $pattern) = @_;

	return $self->wait_for($pattern, 'err');
}

# Wait until all that was sent has ended, errors included; returns the output since the last one.
sub finish
{
	my ($self) = @_;
	my $mark = 'session-query-' . ++$self->{query};

	$self->{in} .= "\\echo $mark\n\\warn $mark\n";
	$self->wait_for(qr/^\Q$mark\E\n/m);
	$self->wait_for_error(qr/^\Q$mark\E\n/m);
	$self->{err} =~ s/^\Q$mark\E\n//m;
	$self->{out} =~ s/^(.*?)\Q$mark\E\n//s;
	my $output = $1;

	chomp $output;
	return $output;
}

# Run something, wait for its end, and return its output; errors are in stderr().
sub query
{
	my ($self, $sql) = @_;

	$self->{out} = $self->{err} = '';
	$self->send($sql);
	return $self->finish;
}

# Open a cursor, read so many rows, let something happen, and read the rest; the rows that came, as a hash of
# how often each did, and what was said.
sub interrupted_scan
{
	my ($self, $query, $first, $happening) = @_;
	my %rows;

	$self->query("BEGIN; DECLARE c CURSOR FOR $query");
	my $output = $self->query("FETCH $first FROM c");

	$happening->();
	$output .= "\n" . $self->query('FETCH ALL FROM c');
	my $said = $self->stderr;

	$self->query('ROLLBACK');
	$rows{$_}++ foreach grep { $_ ne '' } split /\n/, $output;
	return (\%rows, $said);
}

# Run something that is to fail: its SQLSTATE ("none" where there is no error), and all that was said.
sub failure
{
	my ($self, $sql) = @_;

	$self->query('\set VERBOSITY verbose');
	$self->query($sql);
	my ($sqlstate) = $self->{err} =~ /ERROR:  (\w{5}):/;

	return ($sqlstate // 'none', $self->{err});
}

# Wait until the backend waits in an extension, as a scan or a send does for Kafka.
sub wait_until_waiting
{
	my ($self) = @_;

	$self->{node}->poll_query_until($self->{dbname},
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $self->{pid}")
	  or die 'the backend does not wait, but: '
	  . $self->{node}->safe_psql($self->{dbname}, "SELECT state, wait_event, query FROM pg_stat_activity WHERE pid = $self->{pid}")
	  . "\n$self->{out}\n$self->{err}";
	return;
}

# Cancel what it runs, as Ctrl-C does. (Ctrl-C itself would end a psql that has no terminal.)
sub cancel
{
	my ($self) = @_;

	$self->{node}->safe_psql($self->{dbname}, "SELECT pg_cancel_backend($self->{pid})");
	return;
}

sub quit
{
	my ($self) = @_;

	return if !$self->{run};
	$self->{in} .= "\\q\n";
	eval { $self->{run}->finish };
	delete $self->{run};
	return;
}

# Kill psql, which says nothing to the server then.
sub kill
{
	my ($self) = @_;

	eval { $self->{run}->signal('KILL') };
	eval { $self->{run}->finish };
	delete $self->{run};
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $@);
	eval { $self->{run}->kill_kill(grace => 0) if $self->{run} };
	return;
}

1;
