# KafkaFdw/Broker.pm
#		A broker of one test's own, by dev/broker: for tests that stop it, freeze it or fill it.
#
#	my $broker = KafkaFdw::Broker->new('name');
#	$broker->bootstrap;			its address, the same after every start
#	$broker->stop;				each of these returns when it is so
#	$broker->kill;				kill -9
#	$broker->start;
#	$broker->pause;				SIGSTOP
#	$broker->resume;
#	$broker->unread;			bytes of requests that have come and that it has not read
#
# It is ended and removed when the test ends, however it does.
package KafkaFdw::Broker;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils ();

my $dev = abs_path(dirname(__FILE__) . '/../../..') . '/dev';
my @brokers;

# Options: "properties", further lines of server.properties; "heap"; "port"; "environment", a hash of
# what else the script looks at.
sub new
{
	my ($class, $name, %options) = @_;
	my $self = bless {
		script => $class->script,
		env => {
			KAFKA_DATA => PostgreSQL::Test::Utils::tempdir($name) . '/broker',
			KAFKA_OWNER_PID => $$,
			KAFKA_PORT => $options{port} // '',
			KAFKA_PROPERTIES => $options{properties} // '',
			KAFKA_HEAP => $options{heap} // '256m',
			KAFKA_NODES => $options{nodes} // '',
			%{ $options{environment} // {} }
		}
	}, $class;

	push @brokers, $self;
	$self->start;
	return $self;
}

# The script of dev/ that does it.
sub _script { return 'broker'; }

sub script
{
	my ($class) = @_;

	return "$dev/" . $class->_script;
}

# Run the script; dies where that fails.
sub _run
{
	my ($self, $command) = @_;

	local %ENV = (%ENV, %{ $self->{env} });
	my $output = `"$self->{script}" $command`;

	die "$self->{script} $command failed" if $? != 0;
	chomp $output;
	return $output;
}

sub start
{
	my ($self) = @_;

	$self->{bootstrap} = $self->_run('start');
	return;
}

sub stop { my ($self) = @_; $self->_run('stop'); return; }
sub kill { my ($self) = @_; $self->_run('kill'); return; }
sub pause { my ($self) = @_; $self->_run('pause'); return; }
sub resume { my ($self) = @_; $self->_run('resume'); return; }
sub clean { my ($self) = @_; $self->_run('clean'); return; }
sub bootstrap { my ($self) = @_; return $self->{bootstrap}; }

sub port
{
	my ($self) = @_;

	return $self->{bootstrap} =~ s/.*://r;
}

# Of a frozen one: all that has been sent to it since. (Java listens to addresses of both kinds.)
sub unread
{
	my ($self) = @_;
	my $port = sprintf '%04X', $self->port;
	my $bytes = 0;

	foreach my $line (map { split /\n/, PostgreSQL::Test::Utils::slurp_file($_) } glob '/proc/net/tcp /proc/net/tcp6')
	{
		# local address, remote address, state (established), tx_queue:rx_queue
		$bytes += hex $1 if $line =~ /^\s*\d+: \w+:$port \w+:\w+ 01 \w+:(\w+) /;
	}
	return $bytes;
}

# The folder with its log and server.properties.
sub folder
{
	my ($self) = @_;

	return $self->{env}{KAFKA_DATA};
}

# A failing test must not leave it; nor may this change with what the test exits.
END
{
	my $status = $?;

	foreach my $broker (@brokers)
	{
		# Not in a child that was forked.
		eval { $broker->clean } if $broker->{env}{KAFKA_OWNER_PID} == $$;
	}
	$? = $status;
}

1;
