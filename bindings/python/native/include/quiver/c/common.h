/* What every part of the C API shares.
 *
 * Errors    A function that can fail returns quiver_error_t. After QUIVER_ERROR the message is in
 *           quiver_get_last_error(), which belongs to the calling thread and stays valid until that
 *           thread's next failing call. Out-parameters are written on success only.
 * Ownership What a function hands out through an out-parameter belongs to the caller, who gives it
 *           back with the quiver_database_free_* function named beside it; freeing NULL does
 *           nothing. What is handed in stays the caller's and is read during the call only.
 * NULLs     A value that may be NULL comes with a mask: 1 where there is a value, 0 where it is
 *           NULL. In an array of strings a NULL pointer is the NULL.
 * Text      UTF-8, terminated by a zero byte. Paths are UTF-8 on Windows, and the file system's own
 *           bytes elsewhere.
 * Threads   Every function may be called from any thread. Calls on one database take turns.
 * Processes A database serves the process that opened it. In a forked child every call on it fails,
 *           and closing it there only forgets it.
 */
#ifndef QUIVER_C_COMMON_H
#define QUIVER_C_COMMON_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(QUIVER_C_BUILD)
#define QUIVER_C_API __declspec(dllexport)
#else
#define QUIVER_C_API __declspec(dllimport)
#endif
#else
#define QUIVER_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { QUIVER_OK = 0, QUIVER_ERROR = 1 } quiver_error_t;

/* The version of the core library, as "0.5.0". Never freed. */
QUIVER_C_API const char* quiver_version(void);

/* The last error of this thread; "" before the first. Never NULL, never freed. */
QUIVER_C_API const char* quiver_get_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
