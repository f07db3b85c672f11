/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/rules/mailtext.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Most frequent first: word k is taken about 1/k as often as the first. */
static const char *const words[] = {
	"the", "to", "and", "of", "a", "in", "you", "for", "is", "on", "that", "this", "with", "I",
	"we", "be", "your", "have", "are", "it", "at", "as", "will", "from", "by", "or", "not", "our",
	"if", "please", "can", "an", "any", "all", "has", "was", "but", "they", "would", "me", "my",
	"there", "more", "about", "been", "which", "do", "what", "new", "one", "so", "time", "out",
	"up", "when", "also", "their", "no", "please", "thanks", "know", "need", "get", "let", "us",
	"may", "should", "these", "other", "who", "them", "just", "he", "could", "some", "message",
	"email", "mail", "work", "like", "than", "see", "only", "today", "regards", "call", "now",
	"meeting", "information", "use", "order", "here", "into", "then", "first", "next", "week",
	"make", "his", "two", "over", "how", "change", "attached", "file", "contact", "date", "name",
	"number", "company", "team", "business", "project", "account", "think", "back", "send",
	"best", "year", "after", "where", "price", "service", "report", "day", "days", "list", "am",
	"were", "good", "very", "free", "help", "question", "questions", "before", "its", "set",
	"much", "being", "had", "go", "because", "way", "take", "market", "power", "many", "people",
	"group", "office", "look", "system", "through", "each", "money", "most", "issue", "data",
	"available", "sent", "review", "click", "online", "following", "well", "those", "same",
	"going", "provide", "under", "does", "used", "original", "address", "below", "between",
	"discuss", "month", "sure", "state", "start", "however", "version", "support", "user",
	"product", "copy", "draft", "forward", "deal", "credit", "line", "her", "she", "him", "still",
	"own", "both", "last", "per", "end", "since", "result", "schedule", "within", "cost", "such",
	"put", "point", "plan", "customer", "current", "possible", "response", "received", "give",
	"must", "did", "until", "request", "without", "different", "find", "while", "again", "long",
	"believe", "part", "process", "run", "program", "contract", "letter", "important", "offer",
	"security", "privacy", "unsubscribe", "newsletter", "browser", "view", "reserved", "rights",
	"copyright", "confidential", "recipient", "intended", "delete", "notify", "sender", "error",
	"disclosure", "delivery", "tracking", "invoice", "payment", "amount", "total", "bank",
	"transfer", "update", "password", "login", "confirm", "shipping", "package", "discount",
	"save", "shop", "store", "limited", "special", "download", "install", "server", "website",
	"conference", "university", "research", "paper", "students", "management", "department",
	"agreement", "energy", "trading", "risk", "counterparty", "employees", "benefits", "weekend",
	"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "January", "March", "October",
	"London", "York", "Houston", "America", "Europe", "International", "Corporation", "John",
	"Michael", "David", "Susan", "Robert", "Maria", "Sehr", "geehrte", "Damen", "und", "Herren",
	"die", "der", "das", "nicht", "mit", "Ihre", "bonjour", "vous", "pour", "les", "des", "una",
	"por", "para", "con", "everything", "something", "although", "temperature", "development",
	"environment", "requirements", "applications", "approximately", "organization", "experience",
};
#define N_WORDS (sizeof(words) / sizeof(words[0]))

struct text {
	uint8_t *p;
	size_t n, cap;
	uint32_t state;
};

static uint32_t rnd(struct text *t, uint32_t below)
{
	t->state = t->state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(t->state >> 4) * below) >> 28);
}

static void put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (n > t->cap - t->n)
		n = t->cap - t->n;
	memcpy(t->p + t->n, s, n);
	t->n += n;
}

static const char *word(struct text *t)
{
	/* Zipf by halves: each octave of ranks is about as likely as the one before. */
	uint32_t top = 2;

	while (top < N_WORDS && rnd(t, 8))
		top *= 2;
	if (top > N_WORDS)
		top = N_WORDS;
	return words[rnd(t, top)];
}

static void put_number(struct text *t)
{
	char s[40];

	switch (rnd(t, 5)) {
	case 0:
		snprintf(s, sizeof(s), "$%u.%02u", rnd(t, 2000), rnd(t, 100));
		break;
	case 1:
		snprintf(s, sizeof(s), "%u/%u/20%02u", rnd(t, 12) + 1, rnd(t, 28) + 1, rnd(t, 30));
		break;
	case 2:
		snprintf(s, sizeof(s), "(%03u) 555-01%02u", rnd(t, 800) + 200, rnd(t, 100));
		break;
	case 3:
		snprintf(s, sizeof(s), "%u:%02u", rnd(t, 24), rnd(t, 60));
		break;
	default:
		snprintf(s, sizeof(s), "%u", rnd(t, 100000));
		break;
	}
	put(t, s);
}

static void put_uri(struct text *t)
{
	static const char *const end[] = {"", "/", "index.html", "/img/logo.png", "/page?id="};
	char s[160];

	snprintf(s, sizeof(s), "http%s://%s%s.example.%s/%s%s%s", rnd(t, 3) ? "s" : "",
		 rnd(t, 2) ? "www." : "", word(t), rnd(t, 2) ? "com" : "net", word(t), end[rnd(t, 5)],
		 rnd(t, 4) ? "" : "?utm_source=mail");
	put(t, s);
}

static void put_sentence(struct text *t)
{
	uint32_t n = 4 + rnd(t, 18);

	for (uint32_t i = 0; i < n && t->n < t->cap; i++) {
		size_t at = t->n;

		if (!rnd(t, 25)) {
			put_number(t);
		} else if (!rnd(t, 120)) {
			put_uri(t);
		} else {
			put(t, word(t));
			/* A sentence begins with a capital; now and then a word shouts. */
			for (size_t k = at; k < t->n && (k == at ? !i || !rnd(t, 30) : false); k++)
				if (t->p[k] >= 'a' && t->p[k] <= 'z')
					t->p[k] -= 32;
			if (!rnd(t, 200))
				for (size_t k = at; k < t->n; k++)
					if (t->p[k] >= 'a' && t->p[k] <= 'z')
						t->p[k] -= 32;
		}
		put(t, i + 1 == n ? "" : !rnd(t, 12) ? ", " : !rnd(t, 80) ? " - " : " ");
	}
	put(t, !rnd(t, 8) ? "?" : !rnd(t, 12) ? "!" : !rnd(t, 10) ? ":" : ".");
}

void mailtext_body(uint32_t seed, uint8_t *out, size_t n)
{
	struct text t = {out, 0, n, seed};

	while (t.n < n) {
		uint32_t k = 1 + rnd(&t, 6);

		for (uint32_t i = 0; i < k; i++) {
			put_sentence(&t);
			put(&t, i + 1 < k ? " " : "");
		}
		put(&t, "\n");
	}
}

void mailtext_foreign(uint32_t seed, uint8_t *out, size_t n)
{
	static const char *const some[] = {
		"\u043f\u0440\u0438\u0432\u0435\u0442", "\u0438", "\u043d\u0430",
		"\u043f\u0438\u0441\u044c\u043c\u043e,",
		"\u0437\u0430\u043a\u0430\u0437", "\u0441\u043f\u0430\u0441\u0438\u0431\u043e", "\u03ba\u03b1\u03b9",
		"\u03b3\u03b9\u03b1",
		"\u03bc\u03ae\u03bd\u03c5\u03bc\u03b1", "\u3053\u3093\u306b\u3061\u306f\u3002", "\u8bf7\u67e5\u770b\u9644\u4ef6\uff0c",
		"\ud68c\uc758", "\u0645\u0631\u062d\u0628\u0627", "f\u00fcr", "\u00e0", "r\u00e9union", "gr\u00fc\u00dfe.", "se\u00f1or",
		"\u2013", "t\u00eb", "pros\u00edm"};
	struct text t = {out, 0, n, seed};

	while (t.n < n) {
		put(&t, some[rnd(&t, sizeof(some) / sizeof(some[0]))]);
		put(&t, rnd(&t, 20) ? " " : "\n");
	}
}

void mailtext_uri(uint32_t seed, uint8_t *out, size_t n)
{
	struct text t = {out, 0, n, seed};

	while (t.n < n) {
		put_uri(&t);
		put(&t, "\n");
	}
}

void mailtext_rawbody(uint32_t seed, uint8_t *out, size_t n)
{
	static const char *const tags[] = {"<p>", "</p>\n", "<br>\n", "<td align=\"left\">", "</td>\n",
		"<a href=\"https://www.example.com/a\" style=\"color: #333333; font-size: 12px\">",
		"</a>", "<div class=\"content\">\n", "</div>\n", "<tr>", "</tr>\n", "&nbsp;", "<b>",
		"<img src=\"https://img.example.net/logo.png\" width=\"100\" height=\"40\">\n"};
	struct text t = {out, 0, n, seed};
	size_t line = 0;

	while (t.n < n) {
		bool html = t.n / 4096 % 2;
		size_t at = t.n;

		put_sentence(&t);
		for (; at < t.n; at++) {
			line = t.p[at] == '\n' ? 0 : line + 1;
			if (line > 68 && t.p[at] == ' ') {
				t.p[at] = '\n';
				line = 0;
			}
		}
		put(&t, html ? tags[rnd(&t, sizeof(tags) / sizeof(tags[0]))] : rnd(&t, 5) ? " " : "\n\n");
	}
}

void mailtext_header(uint32_t seed, uint8_t *out, size_t n)
{
	struct text t = {out, 0, n, seed};
	char s[120];

	while (t.n < n) {
		uint32_t k = 2 + rnd(&t, 7);

		if (!rnd(&t, 3)) {
			snprintf(s, sizeof(s), "%s %s <%s.%u@%s.example.com>", word(&t), word(&t), word(&t),
				 rnd(&t, 1000), word(&t));
			put(&t, s);
		}
		for (uint32_t i = 0; i < k; i++) {
			put(&t, word(&t));
			put(&t, i + 1 < k ? " " : "");
		}
		put(&t, "\n");
	}
}
