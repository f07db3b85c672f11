#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
# Mail::DKIM's ARC over message files and a table of keys (name TAB text):
#   arc_mail_dkim.pl verify KEYS FILE...                          a result a line
#   arc_mail_dkim.pl seal KEYS PEM DOMAIN SELECTOR ID CHAIN FILE... writes FILE.sealed
use strict;
use warnings;
use Net::DNS;
use Mail::DKIM::ARC::Signer;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;
use Mail::DKIM::TextWrap;

my ($mode, $keys) = splice(@ARGV, 0, 2);
my %txt;
open(my $fh, '<', $keys) or die "$keys: $!";
while (<$fh>) {
	chomp;
	my ($name, $text) = split /\t/, $_, 2;
	push @{ $txt{$name} }, $text;
}
close $fh;

{
	no warnings 'redefine';
	*Mail::DKIM::DNS::query = sub {
		my ($name, $type) = @_;
		return map { Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => [ unpack('(a255)*', $_) ]) }
			grep { !/^!/ } @{ $txt{$name} || [] };
	};
}

sub slurp {
	my ($file) = @_;
	open(my $m, '<:raw', $file) or die "$file: $!";
	local $/;
	return scalar <$m>;
}

my ($pem, $domain, $selector, $id, $chain) = $mode eq 'seal' ? splice(@ARGV, 0, 5) : ();
for my $file (@ARGV) {
	my $text = slurp($file);
	if ($mode eq 'verify') {
		my $v = Mail::DKIM::ARC::Verifier->new;
		$v->PRINT($text);
		$v->CLOSE;
		print $v->result, "\n";
		next;
	}
	my $s = Mail::DKIM::ARC::Signer->new(Algorithm => 'rsa-sha256', Chain => $chain, Domain => $domain,
		SrvId => $id, Selector => $selector, KeyFile => $pem);
	$s->PRINT($text);
	$s->CLOSE;
	die $s->result_detail unless $s->result eq 'sealed';
	my $set = join('', map { "$_\r\n" } $s->as_strings);
	$set =~ s/\r*\n/\r\n/g;
	open(my $out, '>:raw', "$file.sealed") or die $!;
	print $out $set, $text;
	close $out;
}
