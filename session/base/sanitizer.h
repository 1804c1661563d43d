/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_SANITIZER_H
#define RETETHER_SESSION_BASE_SANITIZER_H

#include <stddef.h>

/* The sanitizer that this is built with, as a word for people; NULL: none. A sanitizer's run time needs system calls of
 * its own, and looks into its process at the end. */
static inline const char *rt_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return "AddressSanitizer";
#elif defined(__SANITIZE_THREAD__)
    return "ThreadSanitizer";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    return "a sanitizer";
#else
    return NULL;
#endif
#else
    return NULL;
#endif
}

#endif
