/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_PKI_H
#define RETETHER_TESTS_LIB_PKI_H

/* Certificates of tests, made as an operator makes them: by `retether pki`. Each call runs it to its end; returns 0, or
 * -1 with its words on stderr. */

/* `retether pki ARGS...`, at most 8 of them, NULL-terminated. */
int rt_test_pki(const char *const *args);
/* A CA for the domain "test.example" in a new directory. */
int rt_test_pki_ca(const char *ca);
/* A directory of certificates; name NULL: an operator's. */
int rt_test_pki_issue(const char *ca, const char *role, const char *name, const char *out);

#endif
