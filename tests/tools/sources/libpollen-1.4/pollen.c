#include "pollen.h"

int pollen_count(int cells)
{
	return cells * 12;
}
