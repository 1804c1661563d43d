/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/version.h"

#include "retether/error.h"
#include "session/base/error.h"
#include "session/core/protocol.h"

/* What the public headers say in numbers of their own, as they include nothing of the floors below. */
_Static_assert(RETETHER_ENOMEM == (int)RT_ENOMEM && RETETHER_EINVAL == (int)RT_EINVAL, "errors");
_Static_assert(RETETHER_EPROTO == (int)RT_EPROTO && RETETHER_ELIMIT == (int)RT_ELIMIT, "errors");
_Static_assert(RETETHER_ESTATE == (int)RT_ESTATE && RETETHER_EIO == (int)RT_EIO, "errors");
_Static_assert(RETETHER_ETIMEDOUT == (int)RT_ETIMEDOUT && RETETHER_ECONN == (int)RT_ECONN &&
                   RETETHER_EUNKNOWN == (int)RT_EUNKNOWN,
               "errors");

const char *retether_version(void)
{
    return RETETHER_VERSION;
}

const char *retether_strerror(int error)
{
    return rt_strerror(error);
}

const char *retether_class_name(unsigned cls)
{
    return rt_class_name(cls);
}
