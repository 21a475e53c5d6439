# KafkaFdw/SecureBroker.pm
#		A broker with TLS, SASL and ACLs, by dev/secure-broker, whose head lists its listeners, users
#		and certificates. All that KafkaFdw/Broker.pm says holds here too.
#
#	my $broker = KafkaFdw::SecureBroker->new('name');
#	$broker->bootstrap;					its listener without a password
#	$broker->bootstrap('sasl_ssl');		another one
#	$broker->tls('ca.pem');				the path of a file; $broker->pem('ca.pem') is what it holds
#	$broker->allow('User:bob', 'READ,DESCRIBE', 'TOPIC', $topic);	returns when it is in force
#	$broker->forbid('User:bob', 'READ', 'TOPIC', $topic);			takes it back
#
# It is an older Kafka, for SCRAM's sake (see dev/secure-broker), unless the option "latest" is true.
package KafkaFdw::SecureBroker;

use strict;
use warnings;

use parent qw(KafkaFdw::Broker);

use File::Basename qw(dirname);
use KafkaFdw::Tool;
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class, $name, %options) = @_;

	$options{environment} = { KAFKA_VERSION => _latest() } if delete $options{latest};
	return $class->SUPER::new($name, %options);
}

sub _script { return 'secure-broker'; }

# The version of dev/broker.
sub _latest
{
	my $file = dirname(__FILE__) . '/../../../dev/kafka.xml';

	PostgreSQL::Test::Utils::slurp_file($file) =~ m{<kafka.version>(.*?)</} or die "$file has no version";
	return $1;
}

sub start
{
	my ($self) = @_;

	$self->{listeners} = { map { split / / } split /\n/, $self->_run('start') };
	return;
}

sub bootstrap
{
	my ($self, $listener) = @_;

	return $self->{listeners}{ $listener // 'plaintext' } // die "there is no listener $listener";
}

sub port
{
	my ($self, $listener) = @_;

	return $self->bootstrap($listener) =~ s/.*://r;
}

sub tls
{
	my ($self, $file) = @_;

	return $self->folder . "/tls/$file";
}

sub pem
{
	my ($self, $file) = @_;

	return PostgreSQL::Test::Utils::slurp_file($self->tls($file));
}

# The program that gives and takes ACLs, which lives as long as the broker does.
sub _acls
{
	my ($self) = @_;

	$self->{acls} //= KafkaFdw::Tool->new('kacl', $self->bootstrap);
	return $self->{acls};
}

# The number of librdkafka's version, as rd_kafka_version() has it.
sub client_version
{
	my ($self) = @_;

	return $self->_acls->greeting;
}

sub _change
{
	my ($self, $command, $principal, $operations, $resource, $name) = @_;

	$self->_acls->ok("$command $principal $_ $resource $name") foreach split /,/, $operations;
	return;
}

sub allow { my ($self, @acl) = @_; return $self->_change('allow', @acl); }
sub forbid { my ($self, @acl) = @_; return $self->_change('forbid', @acl); }

1;
