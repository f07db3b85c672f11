/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Protocol limits by name, each with the place it comes from. "ours" is a choice of this project. */

/* SMTP: RFC 5321 */
#define LIMIT_LOCAL_PART 64          /* 4.5.3.1.1 */
#define LIMIT_DOMAIN 255             /* 4.5.3.1.2 */
#define LIMIT_PATH 256               /* 4.5.3.1.3, with punctuation */
#define LIMIT_COMMAND_LINE 512       /* 4.5.3.1.4, with CRLF */
#define LIMIT_COMMAND_EXT 2048       /* RFC 5321 4.1.1.11, 2.2.1: with parameters of extensions; ours */
#define LIMIT_REPLY_LINE 512         /* 4.5.3.1.5, with code and CRLF */
#define LIMIT_TEXT_LINE 1000         /* 4.5.3.1.6, with CRLF; longer is accepted and marked */
#define LIMIT_RCPT_MIN 100           /* 4.5.3.1.8: at least this many are taken */
#define LIMIT_RECEIVED_HOPS 100      /* 6.3 */
#define LIMIT_COMMAND_TIMEOUT_S 300  /* 4.5.3.2.7 */
#define LIMIT_RCPT_OPEN 64           /* ours: recipients of a transaction asked of control at once */
#define LIMIT_DATA_BLOCK_TIMEOUT_S 180 /* 4.5.3.2.5 */
#define LIMIT_FINAL_REPLY_TIMEOUT_S 600 /* 4.5.3.2.6 */
#define LIMIT_REFUSED_QUIT_S 30      /* ours: for the QUIT after a 5xx greeting, RFC 5321 3.1 */
#define LIMIT_IDLE_COMMANDS 100      /* ours: commands without effect between two messages */
#define LIMIT_IDLE_COMMANDS_MAX 250  /* ours: what may be configured for it */
#define LIMIT_MIN_RATE_GRACE_S 60    /* ours: the rate of DATA is not looked at before */
#define LIMIT_RATE_WINDOW_S 60       /* ours: over which the rate of a large message is taken */
#define LIMIT_RATE_LARGE (1024u * 1024) /* ours: from so many octets of DATA on it is large */
#define LIMIT_PROXY_V1 107           /* PROXY protocol 2.1: the longest line, with CRLF */
#define LIMIT_PROXY_V2 2048          /* ours: a version 2 header with its TLVs; 536 are usual */
#define LIMIT_PROXY_TLV_KEPT 200     /* ours: octets of its TLVs that go into the record */
#define LIMIT_PROXY_S 10             /* ours: for the PROXY header of a balancer */
#define LIMIT_BANNER_TIMEOUT_S 300   /* 4.5.3.2.1, as a client */

/* Message structure */
#define LIMIT_HEADER_BLOCK (256 * 1024) /* ours (design: content views) */
#define LIMIT_HEADER_FIELD (64 * 1024)  /* ours */
#define LIMIT_HEADER_FIELDS 2000        /* ours */
#define LIMIT_SELECTOR_NAME 256         /* ours: name of a header field that rules look at */
#define LIMIT_MIME_NESTING 64           /* ours (design: content views) */
#define LIMIT_MIME_PARTS 1000           /* ours */
#define LIMIT_URI 4096                  /* ours: octets of one URI or attribute that are looked at */
#define LIMIT_URIS 2048                 /* ours: URIs of a message that are given out */
#define LIMIT_MIME_BOUNDARY 996         /* RFC 5322 2.1.1: what a line holds behind "--"; 2046: 70 */
#define LIMIT_MIME_BOUNDARIES (16 * 1024) /* ours: octets of all that are open */
#define LIMIT_MIME_LAYERS 4             /* ours: encoded messages inside of each other (RFC 2046
					 * 5.2.1 has none), the outermost counted */
#define LIMIT_MIME_PREAMBLE (8 * 1024)  /* ours: octets in front of the first boundary */
#define LIMIT_FOREIGN_TRUST_HEADERS 64  /* ours: names of foreign-trust-headers */
#define LIMIT_OWN_BLOCK (128 * 1024)    /* ours: what our fields add to the header of a message */
#define LIMIT_OWN_FIELDS 16             /* ours */

/* Authentication */
#define LIMIT_DKIM_SIGNATURES 10     /* ours, against costs; RFC 6376 6.1 allows a limit */
#define LIMIT_DKIM_KEYS 1024         /* ours: parsed keys kept; about 7 KB each */
#define LIMIT_ARC_SETS 50            /* RFC 8617 4.2.1, 5.1 */
#define LIMIT_SPF_LOOKUPS 10         /* RFC 7208 4.6.4 */
#define LIMIT_SPF_VOID 2             /* RFC 7208 4.6.4 */
#define LIMIT_SPF_MX 10              /* RFC 7208 4.6.4 */
#define LIMIT_SPF_PTR 10             /* RFC 7208 4.6.4, 5.5 */
#define LIMIT_SPF_TIME_S 20          /* RFC 7208 4.6.4 */
#define LIMIT_SPF_CACHE 16384        /* ours: results kept; about 150 octets each */
#define LIMIT_SPF_CACHE_S 3600       /* ours: whatever TTL the records have */
#define LIMIT_DNS_NAME 253           /* RFC 1035 2.3.4, text form without the root dot */
#define LIMIT_DNS_LABEL 63           /* RFC 1035 2.3.4 */
#define LIMIT_DMARC_AUTHORS 5        /* ours: author domains judged; RFC 9989 asks for some cap */
#define LIMIT_DMARC_COMMENTS 16      /* ours: comments inside comments of a From field */
#define LIMIT_DMARC_QUERIES 8        /* RFC 9989 4.10: of one tree walk */
#define LIMIT_DMARC_LABELS 7         /* RFC 9989 4.10: a longer name is cut to so many labels */
#define LIMIT_DMARC_RECORD 4096      /* ours: octets of a policy record */
#define LIMIT_DMARC_TIME_S 8         /* ours: all of it; with the 20 s of SPF below LIMIT_JUDGE_S */
#define LIMIT_AUTHRES_RESULTS 64     /* ours: results of one Authentication-Results field */
#define LIMIT_AUTHRES_PROPS 256      /* ours: properties of all of them */
#define LIMIT_AUTHRES_NESTING 32     /* ours: comments inside comments */
#define LIMIT_RSA_BITS_MIN 1024      /* RFC 8301 3.2 */
#define LIMIT_RSA_BITS_MAX 4096      /* RFC 8301 3.2 */
#define LIMIT_DNSBLS 16              /* ours: lists asked for a message */
#define LIMIT_DNSBL_TIME_S 5         /* ours: all of them; a list that is slow holds no mail */
#define LIMIT_DNSBL_ZONE 189         /* LIMIT_DNS_NAME less 64 octets of an IPv6 address */
#define LIMIT_DNSBL_ANSWERS 64       /* ours: ranges of answers that count, of one list */
#define LIMIT_POLICY_DOMAINS 10000   /* ours: entries of a list of domains in policy */

/* TCP */
#define LIMIT_TCP_RTO_MIN_MS 200       /* ours; RFC 6298 2.4 says 1 s, which hurts on short paths */
#define LIMIT_TCP_RTO_INIT_MS 1000     /* RFC 6298 2.1 */
#define LIMIT_TCP_RTO_LOST_SYN_MS 3000 /* RFC 6298 5.7: after a SYN-ACK that was sent again */
#define LIMIT_TCP_RTO_MAX_MS 60000     /* RFC 6298 2.5 */
#define LIMIT_TCP_RETRIES 10           /* ours: over the 100 s of RFC 9293 3.8.3 (R2) */
#define LIMIT_TCP_SYN_RETRIES 5        /* ours: 1, 2, 4, 8, 16 s, then forgotten */
#define LIMIT_TCP_PERSIST_S 300        /* ours: a window that stays closed is an attack or dead */
#define LIMIT_TCP_FIN_WAIT_2_S 60      /* ours: the peer may not keep a TCB for ever */
#define LIMIT_TCP_DELACK_MS 40         /* RFC 9293 3.8.6.3: below 500 ms */
#define LIMIT_TCP_MSS_MIN 64           /* ours: least payload we cut to, against tiny-MSS attacks */
#define LIMIT_TCP_SEND_QUEUE 65536     /* ours: unacknowledged octets of replies a connection */
#define LIMIT_TCP_CWND_MAX (1u << 20)  /* ours */
#define LIMIT_TCP_RST_PER_S 200        /* ours, a worker */
#define LIMIT_TCP_CHALLENGE_PER_S 100  /* RFC 5961 7; ours: this plus a random share of it */
#define LIMIT_TCP_OOW_PER_S 60         /* ours: answers to unacceptable segments, a connection */
#define LIMIT_TCP_WINDOW_MAX (256u * 1024) /* design: window of a flow in DATA */

/* Tap: all ours, "a side" is one direction of a flow (docs/tap.md) */
#define LIMIT_TAP_HELD (1024u * 1024)  /* octets of a side that wait for an ACK; more are given without */
#define LIMIT_TAP_HELD_PIECES 2048     /* payloads of them */
#define LIMIT_TAP_OOO 256              /* payloads of a side out of order */
#define LIMIT_TAP_HOLE_SEGMENTS 64     /* of the flow, until octets that were acknowledged are a gap */
#define LIMIT_TAP_HOLE_MS 500          /* or so long: mirrors put directions out of order */
#define LIMIT_TAP_ONE_WAY_SEGMENTS 256 /* the same without ACKs: a retransmission may come */
#define LIMIT_TAP_ONE_WAY_MS 5000
#define LIMIT_TAP_ONE_WAY_WINDOW (16u * 1024 * 1024) /* beyond: out of window */
#define LIMIT_TAP_FAR 3                /* segments in a row with numbers far away: the side is there */
#define LIMIT_TAP_FAR_ONE_WAY 32       /* the same without the other side */
#define LIMIT_TAP_HALF_S 30            /* a SYN alone is kept */
#define LIMIT_TAP_IDLE_S 900           /* RFC 5321 4.5.3.2.6: ten minutes for the final reply */
#define LIMIT_TAP_LOOK 16              /* ours: flows that are asked for a session, of a kind */
#define LIMIT_TAP_LINGER_S 15          /* a closed flow, for what comes late */
#define LIMIT_TAP_TTL_SLACK 5          /* hops: routes change by less */
#define LIMIT_TAP_TINY 4               /* octets; a command has 6 */
#define LIMIT_TAP_TINY_RUN 16          /* such segments in a row */
#define LIMIT_TAP_PAWS_IDLE_S (24u * 24 * 3600) /* RFC 7323 5.5 */
#define LIMIT_TAP_PIPELINE 1024        /* commands of a session without a reply */
#define LIMIT_TAP_RCPTS 256            /* recipients of a message that are told, over LIMIT_RCPT_MIN */
#define LIMIT_TAP_ENVELOPE 16384       /* octets of them, with the sender */
#define LIMIT_TAP_OPEN_MESSAGES 8      /* of a session, whose reply has not come */
#define LIMIT_TAP_VLANS 4              /* tags of a frame */
#define LIMIT_TAP_TUNNELS 2            /* inside of each other */
#define LIMIT_TAP_MBUFS 65536          /* packets a worker holds until they are acknowledged */
#define DEFAULT_TAP_MBUFS 16384        /* the same, without --rx-mbufs */
#define LIMIT_TAP_SHARE 50             /* percent of the arena, where a gateway shares it */
#define LIMIT_TAP_OLD_RULES_S 60       /* a message is kept on for rules that are not the current */
#define LIMIT_TAP_SILENT_S 60          /* a message without new octets, then it gives way where the arena is short */
#define LIMIT_TAP_HEARD_MS 1000        /* so exactly is it known when there were some */
#define LIMIT_TAP_JOURNAL 64           /* copies under way at once */

/* Flows of a cable that are not terminated */
#define DEFAULT_INLINE_FLOWS 65536u    /* a worker; 48 octets each */
#define LIMIT_INLINE_IDLE_S 7440       /* RFC 5382 REQ-5: two hours and four minutes */
#define LIMIT_INLINE_CLOSED_S 60       /* ours: behind both FINs or a RST */
#define LIMIT_INLINE_DROP_S 60         /* ours: a client that is dropped may try again */
#define LIMIT_INLINE_FRAGMENT_S 10     /* as long as fragments wait for each other (NET_FRAGMENT_US) */

/* TLS of the server side */
#define LIMIT_TLS_PEM (1024u * 1024)  /* ours: octets of one PEM text of configuration */
#define LIMIT_TLS_CHAIN 16            /* ours: certificates in one chain of ours */
#define LIMIT_TLS_CLIENT_CHAIN 10     /* ours: depth to which a client's chain is verified */
#define LIMIT_TLS_CLIENT_CA_NAMES 32  /* ours: sent to the client; with more CAs none is (8446 4.2.4) */
#define LIMIT_TLS_HANDSHAKE_S 60       /* ours: from the 220 to the end of the handshake */
#define LIMIT_TLS_BARREN 64           /* ours: records without plain text in a row (KeyUpdate, empty) */

/* Sessions of a worker running out */
#define LIMIT_EVICT_IDLE_MS 5000     /* ours: without an answer of ours for so long, 421 */
#define LIMIT_EVICT_GRACE_MS 2000    /* ours: for the client to take its leave, then RST */

/* What is known of sources (docs/smtp.md says why); all ours */
#define LIMIT_SOURCES 131072         /* prefixes, half of them IPv6: 14 MB at 108 octets */
#define LIMIT_SOURCE_WAYS 8          /* of them in a bucket */
#define LIMIT_SOURCES_OF_48 16       /* IPv6 /64 of one /48 with an entry of their own */
#define LIMIT_SOURCE_WIDE 8          /* the rest of a /48 shares limits so many times as high */
#define LIMIT_SOURCE_GOOD 5          /* accepted messages that make a good standing */
#define LIMIT_SOURCE_STANDING_S (24 * 3600) /* their half-life */
#define LIMIT_SOURCE_UNKNOWN_SHARE 10 /* so many accepted pay for one unknown recipient */
#define LIMIT_SOURCE_FAILURE_SHARE 1 /* and for one failure of another kind */
#define LIMIT_SOURCE_ERRORS 4        /* protocol errors of a session that are one failure */
#define LIMIT_SOURCE_LINES 5         /* of the log, a second */
#define LIMIT_SOURCES_SHOWN 20       /* by `show sources` in each list */
#define LIMIT_POLICY_NETS 10000      /* networks in policy.allow, policy.deny */
#define LIMIT_ACCESS_LIST 1000000u   /* ours: entries of a list of policy, 32 MB at most */
#define LIMIT_ACCESS_FILE (64u * 1024 * 1024) /* ours: octets of its file */

/* The arena of a worker running out */
#define LIMIT_EVICT_DATA_MS 100      /* ours: between two messages that are given up for others */
#define LIMIT_EVICT_LOOK 256         /* ours: oldest messages in DATA of which one is chosen */
#define LIMIT_EVICT_YOUNG_MS 5000    /* ours: before that a rate says nothing */
#define LIMIT_EVICT_RATE 10000       /* ours: octets/s; who brings less is slow */

/* Delivery (design: delivery contract) */
#define LIMIT_JUDGE_S 30
#define LIMIT_ONWARD_PROGRESS_S 60
#define LIMIT_CALLOUT_S 5
#define LIMIT_RCPT_CALLOUTS 8        /* ours: callouts of one transaction at once, of a route's 20 */
#define LIMIT_RCPT_DOMAINS 16        /* ours: of a transaction, told apart where RCPTDOMAINMAX bounds them */
#define LIMIT_WINDOW_CLOSED_S 60     /* ours (design: handoff contract, memory) */
#define LIMIT_REFUSAL_5XX_TTL_S (24 * 3600)
#define LIMIT_REFUSAL_4XX_TTL_S (15 * 60)
#define LIMIT_UNKNOWN_RCPT_TTL_S (30 * 60)
#define LIMIT_ONWARD_REPLY_LINE 2048    /* ours: four times RFC 5321 4.5.3.1.5; longer is garbage */
#define LIMIT_ONWARD_REPLY_LINES 100    /* ours, against endless replies */
#define LIMIT_ONWARD_ATTEMPTS 8         /* ours: addresses tried for one message, before the dot */
#define LIMIT_ONWARD_WAITING 4096       /* ours: transactions that wait for a connection of a route */
#define LIMIT_ONWARD_PATH 512           /* ours: a mailbox in MAIL or RCPT (5321 4.5.3.1, UTF-8) */
#define LIMIT_ROUTE_HEADERS (64u * 1024) /* design: our header block within the next hop's SIZE */
#define LIMIT_MX_HOSTS 256              /* ours: next hops of a route that MX records brought, kept */
#define LIMIT_MX_HOST_S 3600            /* ours: one that is not named any more is kept so long */
#define LIMIT_TLSA_RECORDS 32           /* ours: usable TLSA records of a host; more are left out */
#define LIMIT_TLS_SESSIONS_KEPT 1024     /* ours: of next hops, the least recently used goes first */
#define LIMIT_TLS_SESSION_S 3600         /* ours: then the certificate is looked at again */
#define LIMIT_TLS_CLEAR_S 60             /* ours: TLS failed under "may": not tried again so soon */
#define LIMIT_ROUTE_CHECKS 256          /* ours: domains whose MX records are looked up at a reload */
#define LIMIT_STATE_DOC (8u * 1024 * 1024) /* ours: octets of a document of control/state */
#define LIMIT_STATE_RETRY_S 10          /* ours: after a write of one that failed */
#define LIMIT_BREAKER_SAVE_S 600u       /* ours: what is usual on a route is written so often */
#define LIMIT_BREAKER_HALF_LIFE_S (24 * 3600) /* ours: of what a route's breaker takes for normal */
#define LIMIT_BREAKER_KNOWN_SHARE 5     /* ours: of its samples; so many of known recipients are enough, */
#define LIMIT_BREAKER_KNOWN_MIN 10      /* and these at least */
#define LIMIT_BREAKER_OF_SOURCE 3       /* ours: refusals of one source that count, a tenth of its window */
#define LIMIT_LOAD_LEAST 2              /* ours: transactions of a route that always may be under way */
#define LIMIT_LOAD_FAILED 5             /* ours: in a row; then nobody answers there */
#define LIMIT_LOAD_GOOD 5               /* ours: seconds without trouble until a route is well again */
#define LIMIT_LOAD_OPEN_S 60            /* ours: who was let in and sends nothing counts no longer */
#define LIMIT_LOAD_LASTS_S 30           /* ours: so long refused, who insists is sent away */
#define LIMIT_RECIPIENT_LIST 1000000u   /* ours: addresses in a route's list, 32 MB */
#define LIMIT_RECIPIENT_FILE (256u * 1024 * 1024) /* ours: octets of it */
#define LIMIT_REFUSAL_UNTOLD_S (24 * 3600) /* ours: a refusal that held up others waits for its retry */
#define LIMIT_RCPT_LEARNED_S (24 * 3600) /* ours: how many recipients a next hop took before 4.5.3 */
/* MTA-STS, RFC 8461 */
#define LIMIT_STS_POLICY (64u * 1024)    /* 3.3: a suggestion */
#define LIMIT_STS_MAX_AGE_S 31557600u    /* 3.2 */
#define LIMIT_STS_FETCH_S 60             /* 3.3: a suggestion */
#define LIMIT_STS_RETRY_S 300            /* 3.3: between attempts that fail */
#define LIMIT_STS_REFRESH_S 86400u       /* ours: an older policy is fetched anew, in use meanwhile */
#define LIMIT_STS_CHECK_S 3600u          /* ours: the record is asked for again, whatever its TTL */
#define LIMIT_STS_MX 128                 /* ours: patterns of one policy */
#define LIMIT_STS_KEPT (4u * 1024 * 1024) /* ours: octets of policies on disk, of those used last */
#define LIMIT_STS_SAVE_S 30u             /* ours: between two writes of them */
#define LIMIT_STS_DOMAINS 4096           /* ours: policies kept; the one used longest ago goes first */
#define LIMIT_REFUSALS_KEPT 32768       /* ours: about 10 MB at 300 octets each */
#define LIMIT_RECIPIENTS_KEPT 131072    /* ours: about 10 MB */
#define LIMIT_KNOWN_RCPT_FRESH_S 600    /* ours: a recipient the next hop took is not asked again */
#define LIMIT_KNOWN_RCPT_TTL_S (24 * 3600) /* ours: stale, used when the next hop is silent */

/* Configuration file and rule files: ours, so that a wrong file ends in an error and not in memory */
#define LIMIT_CONFIG_FILE (4u * 1024 * 1024)
#define LIMIT_CONFIG_DEPTH 8
#define LIMIT_CONFIG_NODES 200000    /* values and sections in all */
#define LIMIT_CONFIG_KEYS 2048       /* keys of one section */
#define LIMIT_CONFIG_LIST 100000u    /* entries of an array of names; LIMIT_CONFIG_NODES bounds them all */
#define LIMIT_CONFIG_FILES 256       /* that .include names, in all */
#define LIMIT_CONFIG_INCLUDES 8      /* files inside files */
#define LIMIT_CONFIG_STRING 1024     /* octets of one value */
#define LIMIT_CONFIG_NAME 63         /* name of a listener, route or relay; struct origin.via */
#define LIMIT_STOP_S 30              /* ours: what is under way at SIGTERM has so long */
#define LIMIT_ALERT_S 60             /* ours: a line of the log a next hop and minute */
#define LIMIT_PEM_FILE (256u * 1024)  /* ours: certificates, keys, CA list */
#define LIMIT_TLS_CERTIFICATES 64    /* HANDOFF_MAX_CERTIFICATES */
#define LIMIT_ARC_THREADS 2          /* ours: that seal beside the event loop */
#define LIMIT_ARC_QUEUE 256          /* ours: messages that wait for them; about 0.1 s */
#define LIMIT_ARC_KEYS 64            /* ours: keys of configuration that seal */
#define LIMIT_ARC_RSA_BITS 2048      /* RFC 8301 3.2: signers SHOULD use at least so many */
#define LIMIT_ARC_PEM_LINES 128      /* ours: a key of 4096 bits has 52 */
#define LIMIT_TLS_RSA_BITS 2048      /* NIST SP 800-131A: less is no longer taken by peers */
#define LIMIT_FIELD_NAME 76           /* ours: name of a header field in the configuration */
#define LIMIT_TENANT_VALUES 64        /* of a relay's tenant proof */
#define LIMIT_CORROBORATE 16          /* header fields that corroborate a relay */
#define LIMIT_CHAIN_KEYS 16           /* of the file; so many may a relay name, too */
#define LIMIT_CHAIN_KEY_MIN 32        /* RFC 2104 3: not less than the hash has octets */
#define LIMIT_CHAIN_KEY_MAX 256
#define LIMIT_CHAIN_AGE_S 3600        /* a code that is older is believed under no configuration */
#define DEFAULT_CHAIN_AGE_S 600       /* a retry of the first instance makes a new code */
#define LIMIT_CHAIN_SKEW_S 60         /* clocks of two instances differ by so much at most */
#define LIMIT_TLS_NAMES 16           /* ours: names that one certificate may have one of */
#define LIMIT_RELAY_IDENTITIES 1000  /* names or fingerprints of certificates of a relay */
#define DEFAULT_TRANSPARENT_IDLE_S 2 /* ours: callout and message of one client share a connection */
#define LIMIT_CONFIG_HOSTS 16        /* next hops of a route */
#define LIMIT_ETHDEV 31              /* RTE_MAX_ETHPORTS - 1 */
#define LIMIT_SOCKET_PATH 107        /* unix(7): sun_path without its final NUL */
#define LIMIT_RULES_FILES 1024
#define LIMIT_RULES_FILE (16u * 1024 * 1024)
#define LIMIT_RULES_LINE (32u * 1024)
#define LIMIT_RULES 20000            /* patterns in a set */
#define LIMIT_RULES_PATTERN (24u * 1024) /* octets of one pattern, as written */
#define LIMIT_RULES_EXPANDED (256u * 1024) /* with its tags replaced */
#define LIMIT_RULES_TAGS 1000        /* replace_tag, _inter, _pre, _post */
#define LIMIT_RULES_META 4000        /* steps of one meta rule */
#define LIMIT_RULES_NAME 128
#define LIMIT_RULES_DESCRIBE 240
#define LIMIT_RULES_SCORE 10000      /* absolute value of one score */
#define LIMIT_RULES_ISSUES 5000      /* kept; what comes behind is only counted */
#define LIMIT_LISTS 64               /* ours: sections list */
#define LIMIT_CONTENT_MEMBERS 4096u  /* ours: members of archives that are told of a message */
#define LIMIT_ATTACHMENT_RULES 64    /* ours: sections attachment */
#define LIMIT_ATTACHMENT_WORDS 1000  /* ours: names, types or extensions of one */
#define LIMIT_LIST_ENTRIES 16000000  /* ours: of one list of domains, URIs or hashes */
#define LIMIT_LIST_LINE 4096         /* ours: octets of an entry */
#define LIMIT_LIST_OCTETS (1024L * 1024 * 1024) /* ours: of its file */
#define LIMIT_RULES_NESTING 32       /* if inside if */
#define LIMIT_RULES_TEXT (2 * 1024 * 1024) /* ours: of a view, that control looks at itself */
#define LIMIT_RULES_PCRE_MATCH 2000000   /* PCRE2 match limit of one confirmation */
#define LIMIT_RULES_MS 500               /* ours: of PCRE2 on one message; then its rules do not hit */
#define LIMIT_RULES_PCRE_DEPTH 20000
#define LIMIT_RULES_PCRE_HEAP_KB 20000
/* Ours: compiling a set, in a process of its own (control/compiler.h). Debian's takes 7 s and 210 MB. */
#define DEFAULT_RULES_COMPILE_S 60
#define LIMIT_RULES_COMPILE_S 3600
#define DEFAULT_RULES_COMPILE_MEMORY 1000000000u
#define LIMIT_RULES_COMPILE_MEMORY_MIN 64000000u
#define LIMIT_RULES_COMPILE_MEMORY 64000000000ull
#define DEFAULT_RULES_SHOWN 20       /* ours: rows of `show rules --top` */
#define DEFAULT_RULES_CACHE 1000000000u /* ours: octets of compiled sets, each some 40 MB for Debian's rules */
#define LIMIT_RULES_CACHE_MIN 16000000u
#define LIMIT_RULES_CACHE 1000000000000ull
#define LIMIT_RULES_CACHE_DAYS 30    /* ours: what no start and no reload used for so long goes */
#define RULES_COMPILE_WALL 4         /* times its CPU time: the CPU is shared */
#define DEFAULT_RULES_SCORE_SET 1    /* SpamAssassin: network tests, no Bayes */
#define LIMIT_RULES_DATABASE (256u * 1024 * 1024) /* octets of one compiled database */
#define LIMIT_REGEX_NODES 200000     /* of the tree of one pattern */
#define LIMIT_REGEX_NESTING 100      /* groups inside groups */

#define LIMIT_INDOUBT 65536         /* recipients whose 250 may be in doubt at once */
#define LIMIT_INDOUBT_S 14400        /* ours: a sender that retries does so within 4 h */
#define LIMIT_GREYLIST 524288       /* ours: triplets and known senders, 16 MB */
#define DEFAULT_TRACE_FILE_SIZE (256u * 1024 * 1024)   /* ours: some 50,000 records */
#define DEFAULT_TRACE_FILES 8
#define LIMIT_TRACE_FILES 100
#define DEFAULT_TRACE_INDEX_SIZE (1024u * 1024 * 1024) /* ours: some 1,000,000 records */
#define DEFAULT_TRACE_INDEX_AGE_S (30u * 86400)
#define LIMIT_TRACE_INDEX_LEAST (16u * 1024 * 1024)
#define DEFAULT_METRICS_LISTEN "127.0.0.1:9325"
#define LIMIT_TRACE_SEARCH 10000     /* ours: records of one page of a search */
#define LIMIT_SHARES_ALERT_S 3600    /* ours: a line of the log while verdicts differ by way */
#define LIMIT_TRACE_REFUSED 10       /* ours: records a second of refusals without a message */
#define LIMIT_WATCHERS 8             /* ours: of `posternctl watch` at once */
#define LIMIT_WATCH_QUEUE (256u * 1024) /* ours: octets that one of them has not read, some 500 events */
#define LIMIT_WATCH_STUCK_S 600      /* ours: who reads nothing for so long is cut */
#define LIMIT_WATCH_RULES 8          /* ours: names in an event, of the rules that hit */
#define LIMIT_TOP_RULES 20           /* ours: of `show top`, by hits and by cost */
#define LIMIT_TOP_RULES_S 5          /* ours: they are looked through no more often */
#define LIMIT_CLI_LINE 65536         /* ours: octets of a line of posternctl's shell or of a batch */
#define LIMIT_CLI_WORDS 1024         /* ours: words of one */
#define LIMIT_CLI_HISTORY 1000       /* ours: lines of the shell that are kept */
#define LIMIT_CLI_HISTORY_LINE 4096  /* ours: octets of one; a longer one is not kept */
#define LIMIT_QUARANTINE_LIST 1000   /* messages in one answer */
#define LIMIT_QUARANTINE_BATCH 64    /* puts that share a sync */
#define LIMIT_QUARANTINE_SWEEP_S 60  /* how often old messages are looked for */

/* Configuration defaults that operators may change */
#define DEFAULT_REVERIFY 0.001       /* share of messages whose signatures are verified once more */
#define DEFAULT_MAX_MESSAGE (50u * 1024 * 1024)
#define DEFAULT_MAX_RCPT 100
#define DEFAULT_GREYLIST_DELAY_S 60            /* RFC 6647 5: from one minute */
#define DEFAULT_GREYLIST_WINDOW_S (24 * 3600)  /* to 24 hours */
#define DEFAULT_GREYLIST_LIFETIME_S (35 * 86400) /* RFC 6647 5: a week at least; here a monthly letter */
#define DEFAULT_MAX_ERRORS 20
#define DEFAULT_MAX_TRANSACTIONS 1000
#define DEFAULT_DATA_TOTAL_S 1800
#define DEFAULT_MIN_RATE 500
#define DEFAULT_SOURCE_SESSIONS 25
#define DEFAULT_SOURCE_RATE 60       /* connections a minute */
#define DEFAULT_SOURCE_FAILURES 50
#define DEFAULT_SOURCE_UNKNOWN 20
#define DEFAULT_SOURCE_HALF_LIFE_S 1800
#define DEFAULT_MIN_RATE_LARGE 10000
#define DEFAULT_QUARANTINE_FREE (1024u * 1024 * 1024)
#define DEFAULT_QUARANTINE_AGE_S (30u * 86400)
#define DEFAULT_ARENA_SHARE 1        /* percent of a slice a source, and a largest message at least */
