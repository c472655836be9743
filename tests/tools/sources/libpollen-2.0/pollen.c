#include "pollen.h"

long pollen_weigh(long words)
{
	return words * 40;
}
